"""The words of the tiny encoder that training tests train."""

WORDS = "baker welder nurse oven steel ward".split()
"""All that the tiny encoder knows; the last three fit the first three, in this order."""
