"""Autoscaling in a closed loop: real replicas, a real Prometheus, and the formula of Kubernetes' autoscaler."""
