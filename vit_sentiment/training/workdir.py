"""The workdir of a run: whose it is, what the run is made from, and what could not be read."""

import contextlib
import csv
import fcntl
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from checkpoints import orbax_store, trees
from input_pipeline.sources import Source, dataset_folder
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import dataset_card, manifest
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training.step import TrainState

RUN_FILE = "run.json"
GROUPS_FILE = "training_groups.npy"
"""Sorted uint64 hashes of the groups that were trained on; `evaluate` looks for leaks with it."""
UNREADABLE_FILE = "unreadable.csv"
BEST_FILE = "best.npz"
LOCK_FILE = ".lock"

FREE_FIELDS = (
    "data.train",
    "data.validation",
    "data.data_dir",
    "data.num_threads",
    "data.num_workers",
    "data.on_error",
    "assumed",
    "log_every",
    "keep_latest",
    "mesh.data",
    "mesh.fsdp",
    "execution.attention",
    "execution.remat",
)
"""Fields that may change between the parts of a run, since its result does not depend on them;
what the data paths lead to is held by fingerprints."""


@contextlib.contextmanager
def only_one(workdir: pathlib.Path) -> Iterator[None]:
    """Holds the workdir, so that the same command started twice does not write it twice."""
    if jax.process_index() != 0:
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True)
    with open(workdir / LOCK_FILE, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{workdir}: another process is training here") from error
        try:
            yield
        finally:
            (workdir / LOCK_FILE).unlink(missing_ok=True)
            if not any(workdir.iterdir()):  # A run that never began.
                workdir.rmdir()


def plain(value: Any) -> Any:
    """A config as JSON values."""
    if isinstance(value, ConfigDict):
        return {key: plain(item) for key, item in sorted(value.items())}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


def _fixed(run: dict[str, Any]) -> dict[str, Any]:
    free = {f"config.{field}" for field in FREE_FIELDS}
    return {name: value for name, value in manifest.leaves(run).items() if name not in free}


def recipe(workdir: pathlib.Path) -> dict[str, Any]:
    """What the result of the run in `workdir` depends on: values by dotted names.

    They are the config's fields, without the free ones, and the fingerprints of the data.
    """
    return _fixed(files.read_json(workdir / RUN_FILE))


def belongs(config: ConfigDict, workdir: pathlib.Path) -> bool:
    """Whether the run in `workdir` is the one that `config` describes, on whatever data."""
    planned = _fixed(json.loads(json.dumps({"config": plain(config)})))
    found = recipe(workdir)
    return planned == {k: value for k, value in found.items() if k.startswith("config.")}


def claim(
    config: ConfigDict, workdir: pathlib.Path, train_data: Source, validation_data: Source
) -> None:
    """Writes what the run is into the workdir, or checks that it is the same as before."""
    problem = None
    if jax.process_index() == 0:
        try:
            _claim(config, workdir, train_data, validation_data)
        except UserError as error:
            problem = error
    refused = multihost_utils.broadcast_one_to_all(np.array(problem is not None))
    if refused:  # All processes end, or they would wait for the first one.
        raise problem or UserError(f"{workdir}: the first process tells what is wrong")


def _claim(
    config: ConfigDict, workdir: pathlib.Path, train_data: Source, validation_data: Source
) -> None:
    now = {
        "config": plain(config),
        "train": train_data.fingerprint,
        "validation": validation_data.fingerprint,
    }
    path = workdir / RUN_FILE
    if path.exists() and any((workdir / orbax_store.FOLDER).glob("[0-9]*")):
        before = files.read_json(path)
        old, new = _fixed(before), _fixed(json.loads(json.dumps(now)))
        changed = [k for k in sorted({*old, *new}) if old.get(k) != new.get(k)]
        if changed:
            shown = "; ".join(f"{k}: was {old.get(k)}, is {new.get(k)}" for k in changed)
            raise UserError(f"{workdir}: holds another run; choose another workdir. {shown}")
    elif not path.exists() and {p.name for p in workdir.iterdir()} - {LOCK_FILE}:
        raise UserError(f"{workdir}: not empty and not the workdir of a run (no {RUN_FILE})")
    files.write_json(path, now)


def write_description(
    config: ConfigDict,
    workdir: pathlib.Path,
    description: ModelDescription,
    state: TrainState,
    train_data: Source,
    validation_data: Source,
) -> None:
    if jax.process_index() != 0:
        return
    files.write_json(workdir / orbax_store.DESCRIPTION_FILE, description.to_json())
    with files.replacing(workdir / GROUPS_FILE) as temporary, open(temporary, "wb") as file:
        np.save(file, train_data.group_hashes())
    addressable = all(leaf.is_fully_addressable for leaf in jax.tree.leaves(state.params))
    facts = {
        "config": plain(config),
        "seed": config.seed,
        "train": _facts(config, train_data),
        "validation": _facts(config, validation_data),
        "initial_weights": trees.model_id(state.params) if addressable else None,
    }
    manifest.write(workdir, facts)


def _facts(config: ConfigDict, source: Source) -> dict[str, Any]:
    labels = source.labels(config.data.label)
    return {
        "name": source.name,
        "split": source.split,
        "rows": len(source),
        "fingerprint": source.fingerprint,
        "label": config.data.label,
        "classes": {name: int(np.sum(labels == k)) for k, name in enumerate(source.classes)},
        "card": _card(source.name, config.data.data_dir),
    }


def _card(name: str, data_dir: str) -> dict[str, Any]:
    """What the card of a written dataset tells that a model's card repeats."""
    if not (pathlib.Path(name).exists() or pathlib.Path(data_dir, name).exists()):
        return {}  # Not opened by a path, as the folds of benchmarks.
    folder = dataset_folder(name, data_dir)
    path = folder and folder / dataset_card.FACTS_FILE
    if path is None or not path.exists():
        return {}
    found = files.read_json(path)
    return {key: found[key] for key in ("teacher", "languages", "about", "drawn") if key in found}


def averages(workdir: pathlib.Path) -> bool:
    """Whether the run keeps a moving average of its parameters."""
    path = workdir / RUN_FILE
    return path.exists() and bool(files.read_json(path)["config"].get("ema_decay"))


class Unreadable:
    """Photos that were masked while training, listed once each."""

    def __init__(self, workdir: pathlib.Path, source: Source) -> None:
        process = f"-{jax.process_index()}" if jax.process_count() > 1 else ""
        self._path, self._source = workdir / UNREADABLE_FILE.replace(".", f"{process}."), source
        self._numbers: set[int] = set()

    def add(self, numbers: Sequence[int]) -> None:
        self._numbers.update(int(number) for number in numbers)

    def close(self) -> None:
        """Adds them to the list in the workdir and says how many there are."""
        if not self._numbers:
            return
        ids = {self._source.index["id"][number] for number in self._numbers}
        if self._path.exists():
            with open(self._path, newline="", encoding="utf-8") as file:
                ids.update(row[0] for row in list(csv.reader(file))[1:])
        with (
            files.replacing(self._path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([["id"], *([id_] for id_ in sorted(ids))])
        say(f"{len(ids)} unreadable photos were masked; listed in {self._path}")
