"""Recipes: one file, one product, one typed function that returns the complete run."""
