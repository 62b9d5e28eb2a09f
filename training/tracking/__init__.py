"""Learning curves while a model trains: to files always, and to MLflow or TensorBoard where a run asks for it."""
