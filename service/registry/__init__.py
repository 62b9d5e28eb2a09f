"""A bundle on disk becomes a served model."""
