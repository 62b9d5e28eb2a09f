"""Scorers: token ids to heads, by a cross-encoder or a split model."""
