"""Scorers: token ids to logits and probabilities, by a cross-encoder or a split model."""
