"""What the command `evaluate` does: on a dataset, and on benchmarks."""
