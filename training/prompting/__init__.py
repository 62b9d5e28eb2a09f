"""Prompting, measured: a small language model and the large judge, on the lists of teacher and student."""
