"""Whether a request is admitted: deadlines, capacity, quotas."""
