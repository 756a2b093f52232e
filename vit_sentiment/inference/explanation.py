"""Which patches of a photo the features come from, and which speak for a class.

`rollout` is attention rollout (Abnar & Zuidema 2020, arXiv 2005.00928): what the pooled features
are mixed from, whatever the class. `gradient-weighted` follows Chefer, Gur & Wolf 2021
(arXiv 2103.15679): only attention that raises the logit of a class counts. Both read the attention
alone; neither proves a cause.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vit_sentiment.inference.forward import probabilities
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import Classifier, Params, normalise
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.models.execution import Execution
from vit_sentiment.runtime.errors import UserError

METHODS = ("rollout", "gradient-weighted")

PREDICTED = -1
"""Stands for the class that the model itself names."""


class Recorded(NamedTuple):
    """Attention of one photo, or a logit's gradients with respect to it.

    Attributes:
      blocks: [L, heads, T, T], the Transformer's blocks; rows are queries.
      pooling: what pools the tokens afterwards: [heads, 1, T] for `map`; for `mean` the P pooled
        tokens [P, D] themselves; None for `cls`.
    """

    blocks: jax.Array
    pooling: jax.Array | None


class Explanation(NamedTuple):
    """Maps of photos, and what they explain.

    Attributes:
      maps: method to float32 [B, rows, columns] on the model's grid of patches. Each sums to 1, or
        is 0 everywhere where no attention speaks for the class. Without head `rollout` alone.
      classes: int32 [B], what `gradient-weighted` explains; None without head.
      probs: float32 [B, C], those of `inference.model.outputs`; None without head.
    """

    maps: dict[str, np.ndarray]
    classes: np.ndarray | None
    probs: np.ndarray | None


def explain(model: Model) -> Callable[..., Explanation]:
    """A function from pixels 0..255 [B, H, W, 3] and classes, int [B] or None, to an `Explanation`.

    Where the class is `PREDICTED`, and without classes, the most probable one is explained. It
    compiles once for each shape and dtype of pixels and runs on one device. Photos go through one
    by one: each takes some copies of its L * heads * T * T weights, so that batches take no more
    memory than a photo, and change no bit. Everything is float32 whatever the description says;
    the probabilities of a bfloat16 model differ from those of `outputs` by its rounding.

    Raises (the function):
      UserError: the model has no such class.
    """
    description = model.description.replace(dtype="float32")
    placed = jax.device_put(model.params)

    @jax.jit
    def run(params: Params, pixels: jax.Array, classes: jax.Array) -> dict[str, Any]:
        return jax.lax.map(
            lambda photo: _explain_one(description, params, *photo), (pixels, classes)
        )

    def call(pixels: np.ndarray, classes: np.ndarray | None = None) -> Explanation:
        wanted = np.full(len(pixels), PREDICTED) if classes is None else np.asarray(classes)
        named = wanted[wanted != PREDICTED]
        if unknown := [int(c) for c in named if not 0 <= c < description.num_classes]:
            count = description.num_classes
            raise UserError(f"class to explain: found {unknown[0]}, the model has {count} classes")
        found = jax.tree.map(np.asarray, run(placed, pixels, wanted.astype(np.int32)))
        maps = {method: found["maps"][method] for method in METHODS if method in found["maps"]}
        return Explanation(maps, found.get("classes"), found.get("probs"))

    return call


def _explain_one(
    description: ModelDescription, params: Params, pixels: jax.Array, wanted: jax.Array
) -> dict[str, Any]:
    """Maps, class and probabilities of pixels [H, W, 3]; maps alone without head."""
    image = normalise(pixels[None], description)

    def logit(perturbations: Mapping[str, Any]) -> tuple[jax.Array, Any]:
        logits, recorded = record(description, params, image, perturbations)
        probs = probabilities(description, logits)[0]
        chosen = jnp.where(wanted == PREDICTED, probs.argmax().astype(jnp.int32), wanted)
        return logits[0, chosen], (recorded, chosen, probs)

    with jax.default_matmul_precision("highest"):
        if not description.num_classes:
            _, recorded = record(description, params, image)
            return {"maps": {"rollout": _on_grid(rollout(recorded, description), description)}}
        nothing = unperturbed(description, params, image)
        gradients, (recorded, chosen, probs) = jax.grad(logit, has_aux=True)(nothing)
        maps = {
            "rollout": rollout(recorded, description),
            "gradient-weighted": gradient_weighted(
                recorded, _gather(gradients, description), description
            ),
        }
    maps = {method: _on_grid(relevance, description) for method, relevance in maps.items()}
    return {"maps": maps, "classes": chosen, "probs": probs}


def record(
    description: ModelDescription,
    params: Params,
    image: jax.Array,
    perturbations: Mapping[str, Any] | None = None,
) -> tuple[jax.Array | None, Recorded]:
    """Logits [1, C], None without head, of an image [1, H, W, 3] in the input range; its attention.

    Args:
      perturbations: are added to what is recorded; a tree such as `unperturbed` gives.
    """
    variables = {"params": params} | ({"perturbations": perturbations} if perturbations else {})
    (_, logits), state = Classifier(description, Execution(record=True)).apply(
        variables, image, mutable=["intermediates"]
    )
    # Flax keeps a tuple of all that is sown under a name; here that is one thing.
    sown = jax.tree.map(lambda s: s[0], state["intermediates"], is_leaf=lambda s: type(s) is tuple)
    return logits, _gather(sown, description)


def unperturbed(description: ModelDescription, params: Params, image: jax.Array) -> Params:
    """Perturbations that change nothing: zeros, shaped and named as what is recorded."""
    module = Classifier(description, Execution(record=True))
    _, state = jax.eval_shape(
        lambda: module.apply({"params": params}, image, mutable=["intermediates", "perturbations"])
    )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state["perturbations"])


def _gather(tree: Mapping[str, Any], description: ModelDescription) -> Recorded:
    def weights(parent: Mapping[str, Any]) -> jax.Array:
        return parent["MultiHeadDotProductAttention_0"]["attention_weights"][0]

    layers = range(description.num_layers)
    blocks = jnp.stack([weights(tree["Transformer"][f"encoderblock_{n}"]) for n in layers])
    if description.pooling == "map":
        return Recorded(blocks, weights(tree["MAPHead_0"]))
    return Recorded(blocks, tree["pooled"][0] if description.pooling == "mean" else None)


def rollout(recorded: Recorded, description: ModelDescription) -> jax.Array:
    """How much of each token [T] is in the pooled features; sums to 1.

    Each block's heads are averaged and half an identity stands for the residual branch,
    A = (W + I) / 2; its rows sum to 1 as they are. The blocks' matrices are multiplied, the last
    one leftmost (equation 1). Pooling takes the row of the class token, the mean row of the pooled
    tokens, or what the query of `map` attends to, which has no residual branch.
    """
    mixed = identity = jnp.eye(recorded.blocks.shape[-1])
    for weights in recorded.blocks:
        mixed = (weights.mean(axis=0) + identity) / 2 @ mixed
    if description.pooling == "map":
        return recorded.pooling.mean(axis=0)[0] @ mixed
    return mixed[0] if description.pooling == "cls" else mixed[description.class_token :].mean(0)


def gradient_weighted(
    recorded: Recorded, gradients: Recorded, description: ModelDescription
) -> jax.Array:
    """How much each token [T] speaks for the class whose logit has these gradients; not negative.

    Of each block's attention A and gradient G the mean over the heads of relu(G * A) is taken
    (equation 5), and R becomes R + that @ R, from the identity on (equation 6). The class token's
    row is the answer. What pools otherwise is attention of one query to all tokens and follows the
    rule for it (equation 10): relu(G * A) @ N, where N is R with the rows of R - I scaled to sum
    to 1 (equations 8 and 9). A mean is such attention with equal weights, for which G * A is the
    sum over the features of a token times its gradient.
    """
    identity = jnp.eye(recorded.blocks.shape[-1])
    relevance = identity
    for weights, gradient in zip(recorded.blocks, gradients.blocks, strict=True):
        relevance = relevance + jax.nn.relu(gradient * weights).mean(axis=0) @ relevance
    if description.pooling == "cls":
        return relevance[0]
    gained = relevance - identity
    sums = gained.sum(axis=1, keepdims=True)
    normalised = identity + gained / jnp.where(sums > 0, sums, 1)
    products = gradients.pooling * recorded.pooling
    if description.pooling == "map":
        return jax.nn.relu(products).mean(axis=0)[0] @ normalised
    return jax.nn.relu(products.sum(axis=-1)) @ normalised[description.class_token :]


def _on_grid(relevance: jax.Array, description: ModelDescription) -> jax.Array:
    """Of the tokens [T] the patches, [rows, columns], with the sum 1 if there is anything."""
    patches = relevance[description.class_token :].reshape(description.grid)
    total = patches.sum()
    return patches / jnp.where(total > 0, total, 1)
