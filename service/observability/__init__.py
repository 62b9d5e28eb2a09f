"""Metrics and timings. Takes numbers and strings; imports no other room."""
