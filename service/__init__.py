"""The online half: answers `POST /score` by batching pairs across requests on one model thread.

A request goes http -> (audit, rollout) -> scoring -> admission, encoding -> batching, and back.
"""
