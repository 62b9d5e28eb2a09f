"""Adapters: one file per real (or generated) source, each turning it into candidate lists.

An adapter knows its source's files and traps; it knows nothing of models, losses or splits of other sources.
"""
