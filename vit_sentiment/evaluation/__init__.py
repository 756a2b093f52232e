"""Metrics and the protocol by which a model is judged."""
