"""Results in the tools that people compare runs with: MLflow and TensorBoard."""
