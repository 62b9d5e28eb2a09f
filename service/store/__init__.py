"""The candidate store: candidates' texts by id, and their slots by content.

interface.py defines what a store can do; each back end is a file; factory.py opens the one that the setting names.
"""
