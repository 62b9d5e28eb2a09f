"""What an answer says beside the scores: how texts are read, warnings, and places in the caller's body."""
