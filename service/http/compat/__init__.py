"""Shapes of other rerank APIs."""
