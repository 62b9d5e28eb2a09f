"""The training loop, its schedule, several processes, precision."""
