"""The Grafana dashboard, made by code."""
