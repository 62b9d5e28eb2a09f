"""What runs Fitscore in production: Helm chart, manifests, compose file, proxies, alert rules, dashboard."""
