"""Tables of CSV, JSON lines and Parquet: their formats, and what the columns of a pair mean."""
