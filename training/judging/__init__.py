"""Golden set, language model judge, answer cache."""
