"""HTTP: bytes to a ScoringRequest, and a result to bytes."""
