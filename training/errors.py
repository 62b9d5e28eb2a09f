"""Errors that a user can correct. The command line prints them as one sentence, without a traceback."""

from models.errors import UserError as UserError
from models.errors import surroundings as surroundings
