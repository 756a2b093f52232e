"""Every way to come by weights: an `.npz` or Keras file, a run's workdir, a Hugging Face folder, or
the name of a public checkpoint.

Two verbs, never one: `restore` takes everything and refuses what does not fit; `initialise` takes
the backbone alone, resizes the positions and makes a fresh head.
"""

import dataclasses
import os
import pathlib
from typing import TypedDict, Unpack

import jax
import numpy as np

from checkpoints import (
    download,
    google_npz,
    hdf5,
    huggingface,
    keras_h5,
    orbax_store,
    positions,
    published,
    releases,
    trees,
)
from checkpoints.described import Described, ask_for
from vit_sentiment.models.classifier import Params, abstract_params, init_params
from vit_sentiment.models.description import ModelDescription, sizes
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


class Hints(TypedDict, total=False):
    """What weights cannot always tell of themselves; each may be left out.

    Attributes:
      checkpoint: of a workdir: `best` (the default), `latest` or a step; with `-ema` the moving
        average.
      gelu: of an `.npz` file that does not tell it: `tanh` or `exact`.
      num_heads: of a file that does not tell it.
      image_size: height and width that a file's positions are for, if they are not a square grid.
      mask: factors on the probabilities, of a k-fold model's Keras file of weights alone.
      input_range: what pixel values 0 and 255 become, of a Keras file; [-1, 1] without it.
    """

    checkpoint: str
    gelu: str | None
    num_heads: int | None
    image_size: tuple[int, int] | None
    mask: tuple[float, ...] | None
    input_range: tuple[float, float] | None


def read(
    name: str | os.PathLike[str],
    *,
    checkpoint: str = "best",
    gelu: str | None = None,
    num_heads: int | None = None,
    image_size: tuple[int, int] | None = None,
    mask: tuple[float, ...] | None = None,
    input_range: tuple[float, float] | None = None,
    fallback_heads: int | None = None,
) -> Weights:
    """Reads weights without asking whether they are complete.

    Args:
      name: a file or folder; or the name of a public checkpoint, which is fetched; or NAME=FILE,
        which takes the original's facts about the model NAME for the file.
      checkpoint, gelu, num_heads, image_size, mask, input_range: see `Hints`.
      fallback_heads: heads of a file that does not tell, where `num_heads` does not either.

    Raises:
      UserError: nothing readable is there.
    """
    path, model = _locate(name)
    if path.is_dir():
        if gelu or num_heads or image_size or mask or input_range:
            raise UserError(f"{path}: a folder tells what its model is itself; no flag can")
        return _read_folder(path, checkpoint)
    hints = {"num_heads": num_heads, "image_size": image_size, "fallback_heads": fallback_heads}
    if path.suffix in hdf5.SUFFIXES or hdf5.is_hdf5(path):
        if gelu == "tanh":
            raise UserError(f"{path}: --gelu=tanh contradicts the file: vit-keras' is exact")
        input_range = input_range or (model and model.input_range)
        described, flat = keras_h5.read(path, mask=mask, input_range=input_range, **hints)
        if model is not None:
            _compare_with_published(described.description, model, path)
        return Weights(described, flat, str(path))
    if mask or input_range:
        raise UserError(f"{path}: --mask and --input_range are for Keras files alone")
    return Weights(*google_npz.read_described(path, gelu=gelu, **hints), str(path))


def _read_folder(path: pathlib.Path, checkpoint: str) -> Weights:
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


def _locate(name: str | os.PathLike[str]) -> tuple[pathlib.Path, published.Model | None]:
    """The file or folder, and which of the original's models it is, if the name says so."""
    path, text = pathlib.Path(name), os.fspath(name)
    if path.exists():
        model = published.MODELS.get(path.stem) if path.suffix in hdf5.SUFFIXES else None
        if model is not None:
            say(f"{path}: by its name the original's {model.name}, input range {model.input_range}")
        return path, model
    label, separator, file = text.partition("=")
    if separator and pathlib.Path(file).exists():
        if label not in published.MODELS:
            say(f"warning: {label} is none of the original's models; nothing is known of it")
        return pathlib.Path(file), published.MODELS.get(label)
    if text in {release.name for release in releases.RELEASES}:
        return download.fetch(releases.find(text)), published.MODELS.get(text)
    raise UserError(
        f"{name}: no such file or folder, nor the name of a public checkpoint (python -m "
        "checkpoints.zoo lists them)"
    )


def _compare_with_published(
    description: ModelDescription, model: published.Model, path: pathlib.Path
) -> None:
    wanted = {**sizes(model.variant), "image_size": (model.image_size,) * 2}
    told = {name: (value, getattr(description, name)) for name, value in wanted.items()}
    other = [f"{n} {found} for {value}" for n, (value, found) in told.items() if found != value]
    if other:
        say(f"warning: {path}: is not the published {model.name}: {', '.join(other)}")


def restore(name: str | os.PathLike[str], **hints: Unpack[Hints]) -> Restored:
    """Reads everything.

    Args:
      name: see `read`.
      hints: see `Hints`.

    Raises:
      UserError: see `read`; or arrays are missing, unexpected or mis-shaped.
    """
    weights = read(name, **hints)
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
