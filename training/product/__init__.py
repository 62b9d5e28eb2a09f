"""A product made from files: its settings in `product.toml`, the readers of its tables, and the recipe that follows."""
