"""The cookbook, offline: data -> teacher -> soft labels -> student -> report -> bundle.

`python -m training STEP RECIPE` runs one step; each step reads folders and writes a folder.
Knows nothing of the service; what both sides must do alike lives in `models`.
"""
