"""Metrics of every system on the same held-out lists, and the report."""
