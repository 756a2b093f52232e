"""TFDS dataset `labelled_images`."""
