"""One request's path: admit, prepare, score, blend."""
