"""The training state and the jitted step."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from checkpoints import formats
from vit_sentiment.models.classifier import (
    BACKBONE_NAMES,
    HEAD_NAMES,
    Params,
    apply,
    init_params,
    normalise,
)
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.models.execution import Execution
from vit_sentiment.training import augment, losses, sharding
from vit_sentiment.training.losses import Loss

BATCH_FIELDS = ("image", "label", "probs", "mask")
"""What of a `Batch` goes to the devices."""


class TrainState(NamedTuple):
    """All that a run must remember.

    Attributes:
      step: int32, steps taken; also the position in the data.
      params: float32 parameter tree.
      opt_state: the optimiser's.
      key: the run's random key; each step folds its number in.
      ema: moving average of the parameters, or None in runs without one.
    """

    step: jax.Array
    params: Params
    opt_state: Any
    key: jax.Array
    ema: Params | None = None

    def items(self) -> dict[str, Any]:
        """What a checkpoint holds, as `orbax_store.Checkpoints` saves it."""
        train = {"opt_state": self.opt_state, "step": self.step, "key": self.key}
        items = {"params": self.params, "train": train}
        return items if self.ema is None else {**items, "ema": self.ema}

    @classmethod
    def from_items(cls, items: dict[str, Any]) -> "TrainState":
        """The state of restored `items`."""
        return cls(**items["train"], params=items["params"], ema=items.get("ema"))


Metrics = dict[str, jax.Array]
Step = Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, Metrics]]


def is_trainable(trainable: str, path: Any) -> bool:
    """Whether the leaf at a tree path changes in a stage that trains `all` or the `head`.

    The path leads to a parameter, or to an optimiser's moment of one, which is below the same
    names; what belongs to no parameter, such as a count of steps, always changes.
    """
    names = [key.key for key in path if isinstance(key, jax.tree_util.DictKey)]
    owner = next((name for name in names if name in BACKBONE_NAMES + HEAD_NAMES), None)
    return trainable == "all" or owner is None or owner in HEAD_NAMES


def abstract_state(
    description: ModelDescription,
    optimizer: optax.GradientTransformation,
    config: ConfigDict,
    mesh: Mesh,
) -> TrainState:
    """The state as ShapeDtypeStructs with shardings, without computing anything."""

    def init() -> TrainState:
        key = jax.random.key(0)
        params = init_params(description, key)
        ema = params if config.ema_decay else None
        return TrainState(jnp.int32(0), params, optimizer.init(params), key, ema)

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
      config: `seed`; and `init_from`, weights to start from, or random ones.
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
    ema = None
    if config.ema_decay:  # A copy: the step gives both away.
        ema = jax.jit(functools.partial(jax.tree.map, jnp.copy), out_shardings=where.ema)(params)
    return TrainState(step, params, opt_state, key, ema)


def stack(states: Sequence[TrainState]) -> TrainState:
    """States of several runs as one, along a first axis."""
    where = sharding.stacked(jax.tree.map(lambda x: x.sharding, states[0]))
    join = jax.jit(lambda *s: jax.tree.map(lambda *x: jnp.stack(x), *s), out_shardings=where)
    return join(*states)


def unstack(state: TrainState, abstract: TrainState) -> list[TrainState]:
    """The states of the single runs; `abstract` is that of one of them."""
    where = jax.tree.map(lambda x: x.sharding, abstract)
    take = jax.jit(lambda s, i: jax.tree.map(lambda x: x[i], s), out_shardings=where)
    return [take(state, i) for i in range(len(state.step))]


def make_step(
    description: ModelDescription,
    optimizer: optax.GradientTransformation,
    learning_rate: optax.Schedule,
    config: ConfigDict,
    loss: Loss,
    trainable: str,
    abstract: TrainState,
    mesh: Mesh,
    *,
    runs: int = 1,
) -> Step:
    """The jitted step of one stage: (state, batch) to (state, metrics); it consumes the state.

    Frozen parameters are cut out of the gradient, so their backward pass is never computed; their
    moments stay as they are, as in Keras, where frozen variables have none.

    Args:
      trainable: `all` or `head`.
      abstract: what `abstract_state` gives.
      runs: more than one: state, batch and metrics of so many runs along a first axis.
    """
    execution = Execution(**config.execution)

    def part_loss(params: Params, part: dict[str, jax.Array], key: jax.Array) -> Any:
        """Sums over the rows of a part of the batch: the loss, and the hits beside it."""
        params = jax.tree_util.tree_map_with_path(
            lambda path, p: p if is_trainable(trainable, path) else jax.lax.stop_gradient(p), params
        )
        images = normalise(part["image"], description)
        _, logits = apply(description, params, images, execution=execution, dropout_key=key)
        rows = losses.rows(loss, logits, part["hard"], part["soft"])
        predicted = losses.log_probabilities(logits, description.output_mask).argmax(-1)
        hits = (predicted == part["target"]) & part["mask"]
        return jnp.sum(jnp.where(part["mask"], rows, 0.0)), hits.sum()

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
        dropout_key, augment_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        images, mixing = augment.augment(config.augment, batch["image"], batch["mask"], augment_key)
        hard = jax.nn.one_hot(batch["label"], description.num_classes)
        targets = {"hard": hard, "soft": batch["probs"]}
        if mixing is not None:
            targets = {name: augment.mix(t, mixing) for name, t in targets.items()}
        mostly = targets["hard" if loss.soft_weight < 1 else "soft"].argmax(-1)
        batch = {"image": images, "mask": batch["mask"], "target": mostly, **targets}
        (total, hits), gradients = _in_parts(
            jax.value_and_grad(part_loss, has_aux=True),
            config.accumulate,
            state.params,
            batch,
            dropout_key,
        )
        rows = jnp.maximum(batch["mask"].sum(), 1)
        gradients = jax.tree.map(lambda g: g / rows, gradients)
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        opt_state = jax.tree_util.tree_map_with_path(
            lambda path, new, old: new if is_trainable(trainable, path) else old,
            opt_state,
            state.opt_state,
        )
        updates = jax.tree_util.tree_map_with_path(
            lambda path, u: u if is_trainable(trainable, path) else jnp.zeros_like(u), updates
        )
        params = optax.apply_updates(state.params, updates)
        metrics = {
            "loss": total / rows,
            "accuracy": hits / rows,
            "gradient_norm": optax.tree.norm(gradients),
            "update_norm": optax.tree.norm(updates),
            "learning_rate": jnp.asarray(learning_rate(state.step)),
        }
        ema = state.ema
        if ema is not None:
            decay = jnp.minimum(config.ema_decay, (1.0 + state.step) / (10.0 + state.step))
            ema = jax.tree.map(lambda a, p: a + (1.0 - decay) * (p - a), ema, params)
        return TrainState(state.step + 1, params, opt_state, state.key, ema), metrics

    shardings = jax.tree.map(lambda x: x.sharding, abstract)
    rows = sharding.rows(mesh)
    if runs > 1:
        step, shardings, rows = jax.vmap(step), sharding.stacked(shardings), sharding.stacked(rows)
    return jax.jit(
        step,
        donate_argnums=0,
        in_shardings=(shardings, rows),
        out_shardings=(shardings, sharding.replicated(mesh)),
    )


def _in_parts(
    compute: Callable[..., Any], parts: int, params: Params, batch: dict[str, jax.Array], key: Any
) -> Any:
    """Sums of what `compute` gives for each part of the batch, one part after another.

    Part j has the rows j, j + parts, ...: every device holds rows of every part.
    """
    if parts == 1:
        return compute(params, batch, key)
    split = {
        name: value.reshape(-1, parts, *value.shape[1:]).swapaxes(0, 1)
        for name, value in batch.items()
    }
    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(compute, params, _first(split), key))

    def add(total: Any, part: Any) -> tuple[Any, None]:
        number, rows = part
        sums = compute(params, rows, jax.random.fold_in(key, number))
        return jax.tree.map(jnp.add, total, sums), None

    return jax.lax.scan(add, zeros, (jnp.arange(parts), split))[0]


def _first(split: dict[str, jax.Array]) -> dict[str, jax.Array]:
    return {name: value[0] for name, value in split.items()}
