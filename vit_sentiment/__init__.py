"""Learns from tweets to tell the sentiment of a photo: negative, neutral or positive."""

from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Resolves `vit_sentiment.load` on first use, so that `--help` never waits for jax."""
    if name == "load":
        from vit_sentiment.inference.model import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
