"""The training state and the jitted step."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from checkpoints import formats
from vit_sentiment.models.classifier import (
    HEAD_NAMES,
    Classifier,
    Params,
    init_params,
    normalise,
)
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.training import losses, sharding

BATCH_FIELDS = ("image", "label", "probs", "mask")
"""What of a `Batch` goes to the devices."""
TARGETS = ("label", "probs")


class TrainState(NamedTuple):
    """All that a run must remember.

    Attributes:
      step: int32, steps taken; also the position in the data.
      params: float32 parameter tree.
      opt_state: the optimiser's.
      key: the run's random key; each step folds its number in.
    """

    step: jax.Array
    params: Params
    opt_state: Any
    key: jax.Array


Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, Metrics]]


def is_trainable(trainable: str, path: Any) -> bool:
    """Whether the leaf at a tree path changes in a stage that trains `all` or the `head`.

    The path leads to a parameter, or to an optimiser's moment of one, which is below the same
    names; what belongs to no parameter, such as a count of steps, always changes.
    """
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    return trainable == "all" or not names or names[0] in HEAD_NAMES


def abstract_state(
    description: ModelDescription, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """The state as ShapeDtypeStructs with shardings, without computing anything."""

    def init() -> TrainState:
        key = jax.random.key(0)
        params = init_params(description, key)
        return TrainState(jnp.int32(0), params, optimizer.init(params), key)

    shapes = jax.eval_shape(init)
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        shapes,
        sharding.state_shardings(shapes, mesh),
    )


def init_state(
    abstract: TrainState,
    description: ModelDescription,
    optimizer: optax.GradientTransformation,
    config: ConfigDict,
) -> TrainState:
    """A fresh state, each array created where it will live.

    Args:
      abstract: what `abstract_state` gives.
      config: `seed`; and `init_from`, an `.npz` checkpoint for the backbone, or random weights.
    """
    where = jax.tree.map(lambda x: x.sharding, abstract)
    init_key, key = jax.random.split(jax.random.key(config.seed))
    if config.init_from:
        params = formats.initialise(
            config.init_from,
            description,
            init_key,
            image_size=config.init_image_size or None,
            keep_head=config.init_head == "keep",
        )
        params = jax.device_put(params, where.params)
    else:
        make = functools.partial(init_params, description)
        params = jax.jit(make, out_shardings=where.params)(init_key)
    opt_state = jax.jit(optimizer.init, out_shardings=where.opt_state)(params)
    step, key = jax.jit(lambda: (jnp.int32(0), key), out_shardings=(where.step, where.key))()
    return TrainState(step, params, opt_state, key)


def make_step(
    description: ModelDescription,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    config: ConfigDict,
    weights: np.ndarray,
    trainable: str,
    abstract: TrainState,
    mesh: Mesh,
) -> Step:
    """The jitted step of one stage: (state, batch) to (state, metrics); it consumes the state.

    Frozen parameters are cut out of the gradient, so their backward pass is never computed; their
    moments stay as they are, as in Keras, where frozen variables have none.

    Args:
      weights: of the classes, float32 [C].
      trainable: `all` or `head`.
      abstract: what `abstract_state` gives.
    """
    model = Classifier(description)

    def loss_of(params: Params, batch: dict[str, jax.Array], key: jax.Array) -> Any:
        params = jax.tree_util.tree_map_with_path(
            lambda path, p: p if is_trainable(trainable, path) else jax.lax.stop_gradient(p), params
        )
        images = normalise(batch["image"], description)
        _, logits = model.apply({"params": params}, images, train=True, rngs={"dropout": key})
        targets = batch["probs"]
        if config.loss.target == "label":
            targets = jax.nn.one_hot(batch["label"], description.num_classes)
        log_probs = losses.log_probabilities(logits, description.output_mask)
        loss = losses.cross_entropy(
            log_probs, targets, jnp.asarray(weights), batch["mask"], config.loss.label_smoothing
        )
        hits = (log_probs.argmax(-1) == targets.argmax(-1)) & batch["mask"]
        return loss, hits.sum() / jnp.maximum(batch["mask"].sum(), 1)

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        (loss, accuracy), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            state.params, batch, key
        )
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        opt_state = jax.tree_util.tree_map_with_path(
            lambda path, new, old: new if is_trainable(trainable, path) else old,
            opt_state,
            state.opt_state,
        )
        updates = jax.tree_util.tree_map_with_path(
            lambda path, u: u if is_trainable(trainable, path) else jnp.zeros_like(u), updates
        )
        metrics = {
            "loss": loss,
            "accuracy": accuracy,
            "gradient_norm": optax.tree.norm(gradients),
            "update_norm": optax.tree.norm(updates),
            "learning_rate": jnp.asarray(learning_rate(state.step)),
        }
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state, state.key), metrics

    shardings = jax.tree.map(lambda x: x.sharding, abstract)
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(shardings, sharding.rows(mesh)),
        out_shardings=(shardings, sharding.replicated(mesh)),
    )
