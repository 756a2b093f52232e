"""Predictions over HTTP: what a request may send, batches, answers, and the page."""
