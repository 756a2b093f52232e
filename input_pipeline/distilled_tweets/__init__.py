"""TFDS dataset `distilled_tweets`."""
