"""The base of all errors that a user can correct. The command line prints them as one sentence, without a traceback."""


class UserError(Exception):
    """Input, settings or surroundings are wrong. The sentence says what and where. Any other exception is a bug."""
