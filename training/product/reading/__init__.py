"""Tables of graded pairs and of logs: what each row means."""
