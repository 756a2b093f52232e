"""Losses, checked against Keras' by golden training runs."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vit_sentiment.models.description import ModelDescription
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
    return _numbers("class_weights", text, num_classes, "none, balanced", 0.0)


def _numbers(field: str, text: str, count: int, words: str, least: float) -> np.ndarray:
    try:
        values = np.array([float(part) for part in text.split(",")], np.float32)
    except ValueError:
        values = np.empty(0, np.float32)
    if len(values) != count or not np.all(np.isfinite(values) & (values >= least)):
        bound = f" >= {least:g}" if np.isfinite(least) else ""
        raise UserError(
            f"config.loss.{field}: expected {words} or {count} numbers{bound} with commas "
            f"between, found {text!r}"
        )
    return values


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


@dataclasses.dataclass(frozen=True)
class Loss:
    """The constants of a run's loss; see `rows`.

    Attributes:
      class_weights: float32 [C]; a row's weight is its target's expectation of it.
      adjustment: added to the logits while training, float32 [C].
      noise: P(label j | truth i) at [i, j], float32 [C, C]; or None.
      label_smoothing: share of the target that is spread evenly over the classes; the weight is
        that of the target before smoothing, as in Keras.
      soft_weight: of the soft targets against the hard ones.
      temperature: of the soft targets and of what is compared with them.
      q: of the generalised cross-entropy; 0 is the ordinary one.
      output_mask: see `log_probabilities`.
    """

    class_weights: np.ndarray
    adjustment: np.ndarray
    noise: np.ndarray | None = None
    label_smoothing: float = 0.0
    soft_weight: float = 0.0
    temperature: float = 1.0
    q: float = 0.0
    output_mask: tuple[float, ...] | None = None


def make_loss(config: ConfigDict, labels: np.ndarray, description: ModelDescription) -> Loss:
    """The loss of `config.loss`; `labels` are the training split's [N].

    Raises:
      UserError: class weights, logit adjustment or noise matrix are not what they should be.
    """
    classes, o = description.num_classes, config.loss
    return Loss(
        class_weights=class_weights(o.class_weights, labels, classes),
        adjustment=logit_adjustment(o.logit_adjustment, labels, classes),
        noise=noise_matrix(o.noise_matrix, classes),
        label_smoothing=o.label_smoothing,
        soft_weight=o.soft_weight,
        temperature=o.temperature,
        q=o.generalised_q,
        output_mask=description.output_mask,
    )


def logit_adjustment(text: str, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """What is added to the logits of each class while training, float32 [C].

    Args:
      text: `none`; `prior`: the logarithm of each class' share of `labels`, after which the bare
        logits are those of a balanced world (Menon et al. 2021, arXiv 2007.07314); or numbers.

    Raises:
      UserError: anything else, or `prior` where a class does not occur.
    """
    if text == "none":
        return np.zeros(num_classes, np.float32)
    if text == "prior":
        counts = np.bincount(labels, minlength=num_classes)
        if not counts.all():
            raise UserError("config.loss.logit_adjustment: prior needs photos of every class")
        return np.log(counts / counts.sum()).astype(np.float32)
    return _numbers("logit_adjustment", text, num_classes, "none, prior", -np.inf)


def noise_matrix(rows: Sequence[Sequence[float]], num_classes: int) -> np.ndarray | None:
    """The matrix of `config.loss.noise_matrix`, float32 [C, C]; None for an empty one.

    Raises:
      UserError: it is not square, a row is no distribution, or a column is empty: a label that
        noise never makes would have an infinite loss.
    """
    if not len(rows):
        return None
    where = "config.loss.noise_matrix"
    try:
        matrix = np.array(rows, np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape != (num_classes, num_classes):
        raise UserError(f"{where}: expected {num_classes} rows of {num_classes}, found {rows}")
    if not np.all(matrix >= 0) or not np.allclose(matrix.sum(axis=1), 1.0, atol=1e-3):
        raise UserError(f"{where}: expected rows that are >= 0 and sum to 1, found {rows}")
    if not np.all(matrix.any(axis=0)):
        raise UserError(f"{where}: expected columns that are not all 0, found {rows}")
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def rows(loss: Loss, logits: jax.Array, hard: jax.Array, soft: jax.Array) -> jax.Array:
    """The loss of each row [B]: (1 - w) hard part + w T^2 soft part, w the soft weight.

    The soft part compares softmax(logits / T) with the soft targets at the same temperature; T^2
    keeps its gradient comparable (Hinton et al. 2015, arXiv 1503.02531).

    Args:
      logits: [B, C].
      hard: one-hot labels, or mixtures of them [B, C].
      soft: the teacher's probabilities [B, C].
    """
    w, t = loss.soft_weight, loss.temperature
    logits = logits + loss.adjustment
    total = jnp.zeros(logits.shape[0], logits.dtype)
    if w < 1:
        total += (1 - w) * _part(loss, logits, hard)
    if w > 0:
        total += w * t**2 * _part(loss, logits / t, soften(soft, t))
    return total


def soften(probs: jax.Array, temperature: float) -> jax.Array:
    """Probabilities [B, C] as their logits divided by the temperature would give them."""
    if temperature == 1:
        return probs
    # The largest becomes 1, or all of them could underflow; rows of zeros stay what they are.
    powers = (probs / jnp.maximum(probs.max(-1, keepdims=True), 1e-30)) ** (1.0 / temperature)
    return powers / jnp.maximum(powers.sum(-1, keepdims=True), 1e-30)


def _part(loss: Loss, logits: jax.Array, targets: jax.Array) -> jax.Array:
    log_probs = log_probabilities(logits, loss.output_mask)
    if loss.noise is not None:
        # Forward correction (Patrini et al. 2017, arXiv 1609.03683): what the labels' noise makes
        # of the truth is compared with them, so that what is learnt is the truth.
        log_probs = jax.nn.logsumexp(log_probs[:, :, None] + jnp.log(loss.noise), axis=1)
    smooth = targets * (1.0 - loss.label_smoothing) + loss.label_smoothing / targets.shape[-1]
    # With q: Zhang and Sabuncu 2018 (arXiv 1805.07836), equation 6.
    each = -jnp.expm1(loss.q * log_probs) / loss.q if loss.q else -log_probs
    return jnp.sum(smooth * each, axis=-1) * (targets @ jnp.asarray(loss.class_weights))
