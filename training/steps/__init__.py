"""The steps: what each is given, what it reads, and what it writes."""
