"""A candidate as it is kept: bytes, and the LMDB file that holds them."""
