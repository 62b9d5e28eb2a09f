"""`check`: what is wrong or doubtful in a product's data, with numbers, before anything is trained on it."""
