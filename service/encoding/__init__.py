"""Member states and candidate slots: looked up, encoded once, kept."""
