"""From a trained bundle to the live model of a running service: the gate, the rollout, and the record of both."""
