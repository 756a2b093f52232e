"""The one forward path: load a model, run padded batches of one shape through it."""
