"""TFDS dataset `benchmark`."""
