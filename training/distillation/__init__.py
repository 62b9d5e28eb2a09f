"""Several teachers, one student."""
