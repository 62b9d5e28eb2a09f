"""How bytes and paths arrive and leave: compression, and spellings of a path."""
