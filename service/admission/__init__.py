"""Whether a request may come in: deadlines, capacity, quotas."""
