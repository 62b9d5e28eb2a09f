"""The set `requirements`: lists whose grades follow from jobs.md by construction (`drawing`), and its audit."""
