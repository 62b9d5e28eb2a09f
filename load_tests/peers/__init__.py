"""The same model behind other servers under the same load, for comparison with Fitscore."""
