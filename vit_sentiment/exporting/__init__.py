"""Models in formats that other programs run, each with a proof that it computes the same."""
