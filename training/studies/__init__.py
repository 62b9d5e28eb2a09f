"""Measurements that do not ship."""
