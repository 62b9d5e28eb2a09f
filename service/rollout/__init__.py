"""Which model answers: shadow and canary traffic, and the guardrails that end it."""
