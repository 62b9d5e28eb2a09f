"""The shapes that other rerank APIs' clients send and expect."""
