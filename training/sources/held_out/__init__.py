"""Held-out sets of the shipped products: what their systems are measured on, and nothing is trained on."""
