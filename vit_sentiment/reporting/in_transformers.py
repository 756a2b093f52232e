"""What a card says of a model that transformers runs: where its answers differ from ours."""

from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import markdown

_OURS = {
    "exact": "vit_sentiment interpolates without it, as TensorFlow's `tf.image.resize` does.",
    "uint8": "vit_sentiment interpolates without it (OpenCV's bilinear, pixel mode `uint8`).",
}


def section(d: ModelDescription, measured: str) -> str:
    """Pixels, and where they matter the calibration and the type of numbers.

    Args:
      measured: what transformers' resizing does, or how to measure it.
    """
    return markdown.section("In transformers", _pixels(d), measured, _softmax(d), _dtype(d))


def probabilities(d: ModelDescription, logits: str) -> str:
    """Python for the probabilities that vit_sentiment gives, from an expression for logits."""
    if d.calibration is None:
        return f"{logits}.softmax(-1)"
    return f"({logits} / {d.calibration.temperature!r}).softmax(-1)"


def _pixels(d: ModelDescription) -> str:
    return (
        "On equal `pixel_values` transformers computes what vit_sentiment does. Its image "
        "processor does not make equal `pixel_values`: it averages where it shrinks (Pillow's "
        f"bilinear resize), while {_OURS[d.pixel_mode]}"
    )


def _softmax(d: ModelDescription) -> str:
    if d.calibration is None:
        return ""
    return (
        "The logits are raw, so that the softmax of them, which transformers' pipeline gives, is "
        "not calibrated. Labels are the same. Calibrated probabilities are "
        f"`{probabilities(d, 'logits')}`."
    )


def _dtype(d: ModelDescription) -> str:
    if d.dtype == "float32":
        return ""
    return (
        f"vit_sentiment computes in {d.dtype} and rounds as that does. The parameters are float32, "
        "and so transformers computes in float32."
    )
