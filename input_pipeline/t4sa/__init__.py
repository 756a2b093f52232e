"""TFDS dataset `t4sa`."""
