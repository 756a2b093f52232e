"""TFDS dataset `demo_tweets`."""
