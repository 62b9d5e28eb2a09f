"""Reliability under load and abuse, each measurement with its negative control: `python -m load_tests.fire`."""
