"""Every way to come by weights: an `.npz` file, the workdir of a run, a Hugging Face folder.

Two verbs, never one: `restore` takes everything and refuses what does not fit; `initialise` takes
the backbone alone, resizes the positions and makes a fresh head.
"""

import dataclasses
import os
import pathlib

import jax
import numpy as np

from checkpoints import google_npz, huggingface, orbax_store, positions, trees
from checkpoints.described import Described, ask_for
from vit_sentiment.models.classifier import Params, abstract_params, init_params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say


@dataclasses.dataclass(frozen=True)
class Weights:
    """What was read.

    Attributes:
      described: what it says of its model.
      flat: its arrays under our names.
      source: where they came from.
      step: of a workdir's checkpoint; None for others.
    """

    described: Described
    flat: trees.Flat
    source: str
    step: int | None = None


@dataclasses.dataclass(frozen=True)
class Restored:
    """The same with all parameters of the model that is described."""

    described: Described
    params: Params
    source: str
    step: int | None


def read(
    name: str | os.PathLike[str],
    *,
    checkpoint: str = "best",
    gelu: str | None = None,
    num_heads: int | None = None,
    image_size: tuple[int, int] | None = None,
    fallback_heads: int | None = None,
) -> Weights:
    """Reads weights without asking whether they are complete.

    Args:
      name: a file or folder.
      checkpoint: of a workdir: `best`, `latest` or a step; with `-ema` the moving average.
      gelu, num_heads, image_size, fallback_heads: of an `.npz` file that does not tell; see
        `google_npz.read_described`.

    Raises:
      UserError: nothing readable is there.
    """
    path = pathlib.Path(name)
    if not path.is_dir():
        described, flat = google_npz.read_described(
            path,
            gelu=gelu,
            num_heads=num_heads,
            image_size=image_size,
            fallback_heads=fallback_heads,
        )
        return Weights(described, flat, str(path))
    if gelu or num_heads or image_size:
        raise UserError(f"{path}: a folder tells GELU, heads and image size itself")
    if (path / orbax_store.DESCRIPTION_FILE).exists():
        step, described, params = orbax_store.read_workdir(path, checkpoint)
        average = "-ema" if checkpoint.endswith("-ema") else ""
        return Weights(described, trees.flatten(params), f"{path} step {step}{average}", step)
    if (path / huggingface.CONFIG_FILE).exists():
        return Weights(*huggingface.read(path), str(path))
    raise UserError(
        f"{path}: expected the workdir of a training run ({orbax_store.DESCRIPTION_FILE}) or a "
        f"Hugging Face folder ({huggingface.CONFIG_FILE})"
    )


def restore(
    name: str | os.PathLike[str],
    *,
    checkpoint: str = "best",
    gelu: str | None = None,
    num_heads: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> Restored:
    """Reads everything.

    Raises:
      UserError: see `read`; or arrays are missing, unexpected or mis-shaped.
    """
    weights = read(
        name, checkpoint=checkpoint, gelu=gelu, num_heads=num_heads, image_size=image_size
    )
    params = google_npz.complete(weights.flat, weights.described.description, str(name))
    return Restored(weights.described, params, weights.source, weights.step)


def initialise(
    name: str | os.PathLike[str],
    description: ModelDescription,
    key: jax.Array,
    *,
    image_size: tuple[int, int] | None = None,
    keep_head: bool = False,
) -> Params:
    """Parameters for `description`: the backbone of `name`, positions resized, and a fresh head.

    Args:
      image_size: that an `.npz` file's positions are for, where they are not a square grid.
      keep_head: takes the head too, which must be that of `description`.
    """
    weights = read(name, image_size=image_size, fallback_heads=description.num_heads)
    source = weights.described
    _warn_of_differences(weights.source, source, description)
    found, head = trees.split_head(weights.flat)
    table = found.get(positions.NAME)
    expected = (1, source.description.num_positions, description.hidden_size)
    if table is not None and table.shape == expected:
        found[positions.NAME] = positions.resize(
            table,
            source.description.grid,
            description.grid,
            class_token=source.description.class_token,
        )
    if keep_head:
        _check_head(weights.source, source.description, description)
        return google_npz.complete({**found, **head}, description, weights.source)
    wanted, _ = trees.split_head(trees.flatten(abstract_params(description)))
    google_npz.check(found, wanted, weights.source)

    @jax.jit  # What is not returned is not computed: the fresh backbone.
    def fresh_head(key: jax.Array) -> trees.Flat:
        return trees.split_head(trees.flatten(init_params(description, key)))[1]

    return trees.unflatten({**found, **jax.tree.map(np.asarray, fresh_head(key))})


def _check_head(where: str, theirs: ModelDescription, ours: ModelDescription) -> None:
    if not theirs.num_classes:
        raise UserError(f"{where}: it has no head to keep; config.init_head=fresh makes a new one")
    if theirs.classes != ours.classes:
        raise UserError(
            f"{where}: its head tells {list(theirs.classes) or theirs.num_classes}, this model "
            f"{list(ours.classes)}; config.init_head=fresh makes a new one"
        )


def _warn_of_differences(where: str, source: Described, description: ModelDescription) -> None:
    """These fields change what the same weights compute, and no shape shows it."""
    for name in ("gelu", "layer_norm_epsilon", "input_range", "pooling"):
        theirs, ours = getattr(source.description, name), getattr(description, name)
        if theirs != ours and name not in source.unknown:
            say(f"warning: {where} was made with {name} {theirs}, this model has {ours}")


def require_known(described: Described, where: str) -> None:
    """Raises UserError where using the model needs facts that only the user can give."""
    if described.unknown:
        raise UserError(f"{where}: {ask_for(described)}")
