"""Adapters: one file per source, real or generated, which turns it into candidate lists or grades.

An adapter knows its source's files and traps; it knows no models, no losses and no splits of other sources.
"""
