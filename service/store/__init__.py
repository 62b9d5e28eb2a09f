"""What is known of candidates before a request comes: their texts by id, and their slots by content.

contract.py says what a store can do; each back end is a file; opening.py picks by the setting.
"""
