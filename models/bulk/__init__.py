"""Scores of many pairs without the service: a file of them, or lists in Python."""
