"""The same model behind other servers, loaded by the same generator: what Fitscore is measured against."""
