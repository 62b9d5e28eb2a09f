"""The products of a process: bundles by name, each with its own rollout, caches, quotas and stored candidates."""
