"""The networks in torch: cross-encoder, split student, decoder; checkpoints and inference."""
