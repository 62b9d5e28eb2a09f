"""Training, offline: data -> teachers -> soft labels -> student -> report -> bundle.

`python -m training STEP RECIPE` runs one step; each step reads folders and writes a folder. Knows nothing of the
service: code that both sides share is in `models`.
"""
