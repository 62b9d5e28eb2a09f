"""The audit log of scores: its lines, which the service writes, and what the owner of the key can read."""
