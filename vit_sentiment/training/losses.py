"""Losses, checked against Keras' by golden training runs."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vit_sentiment.runtime.errors import UserError

KERAS_EPSILON = 1e-7
"""Keras clips probabilities to [epsilon, 1 - epsilon] before it takes their logarithm."""


def class_weights(text: str, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Weight of each class, float32 [C].

    Args:
      text: `none`; `balanced`: n / (occurring classes * count), scikit-learn's formula, which the
        original uses; or the numbers, `1.9,1.4,0.6`.
      labels: class indices of the training split [N].

    Raises:
      UserError: anything else.
    """
    if text == "none":
        return np.ones(num_classes, np.float32)
    if text == "balanced":
        counts = np.bincount(labels, minlength=num_classes)
        occurring = np.count_nonzero(counts)
        weights = len(labels) / (occurring * np.maximum(counts, 1))
        return np.where(counts > 0, weights, 0.0).astype(np.float32)
    try:
        weights = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        weights = np.empty(0, np.float32)
    if len(weights) != num_classes or not np.all(np.isfinite(weights) & (weights >= 0)):
        raise UserError(
            f"loss.class_weights: expected none, balanced or {num_classes} numbers >= 0 with "
            f"commas between, found {text!r}"
        )
    return weights


def log_probabilities(logits: jax.Array, output_mask: Sequence[float] | None) -> jax.Array:
    """Log probabilities [B, C] that the loss sees.

    With an output mask (the original's k-fold models) Keras multiplies the softmax by it, clips,
    takes the logarithm and applies a softmax cross-entropy to that: a renormalised pair.
    """
    if output_mask is None:
        return jax.nn.log_softmax(logits)
    masked = jax.nn.softmax(logits) * jnp.asarray(output_mask, logits.dtype)
    clipped = jnp.clip(masked, KERAS_EPSILON, 1 - KERAS_EPSILON)
    return jax.nn.log_softmax(jnp.log(clipped))


def cross_entropy(
    log_probs: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    mask: jax.Array,
    label_smoothing: float,
) -> jax.Array:
    """Weighted cross-entropy, summed and divided by the number of real rows: a scalar.

    Args:
      log_probs: [B, C].
      targets: probabilities of the classes, one-hot for hard labels [B, C].
      weights: of each class [C]; a row's weight is its target's expectation of it.
      mask: False where there is no photo [B].
      label_smoothing: share of the target that is spread evenly over the classes; the weight is
        that of the target before smoothing, as in Keras.
    """
    smooth = targets * (1.0 - label_smoothing) + label_smoothing / targets.shape[-1]
    rows = -jnp.sum(smooth * log_probs, axis=-1) * (targets @ weights)
    return jnp.sum(jnp.where(mask, rows, 0.0)) / jnp.maximum(jnp.sum(mask), 1)
