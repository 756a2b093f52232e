"""TFDS dataset `mvsa_single`."""
