"""The online half: answers `POST /score` by batching pairs across requests on one model thread.

A request walks app -> scoring -> admission -> engine (queue -> model thread) and back; `work` travels.
"""
