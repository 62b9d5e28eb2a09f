"""Losses and the batches that they need."""
