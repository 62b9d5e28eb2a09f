"""Tables of CSV, JSON lines and Parquet: their formats, their columns, and what each row means."""
