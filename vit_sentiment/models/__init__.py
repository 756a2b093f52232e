"""Flax Linen modules and the description that says how to build and feed them."""
