"""The queue, the latency model and the model thread. Knows lengths and deadlines, no text."""
