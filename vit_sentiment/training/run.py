"""One training run in one workdir: set up or resume, train, say what came out."""

import contextlib
import csv
import dataclasses
import fcntl
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from checkpoints import google_npz, orbax_store, trees
from input_pipeline.loader import LoadSettings, training_batches
from input_pipeline.sources import Source, open_source, split_names
from vit_sentiment.inference.model import DESCRIPTION_FILE, load
from vit_sentiment.models.classifier import count_parameters
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import manifest
from vit_sentiment.reporting.metric_log import MetricLog
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training import (
    checks,
    losses,
    optimizers,
    plan,
    sharding,
    step,
    validation,
)
from vit_sentiment.training.loop import Run, train_loop

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
)
"""Fields that may change between the parts of a run, since its result does not depend on them;
what the data paths lead to is held by fingerprints."""


def train(config: ConfigDict, workdir: pathlib.Path, should_stop: Callable[[int], bool]) -> bool:
    """Trains or resumes the run that `config` describes in `workdir`; whether it is complete.

    Args:
      should_stop: see `stopping.stop_requests`.

    Raises:
      UserError: the config, the data or the workdir do not allow it; the loss is not finite.
    """
    checks.check(config)
    with _only_one(workdir):
        return _train(config, workdir, should_stop)


@contextlib.contextmanager
def _only_one(workdir: pathlib.Path) -> Iterator[None]:
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


def _train(config: ConfigDict, workdir: pathlib.Path, should_stop: Callable[[int], bool]) -> bool:
    train_data, validation_data = _open_data(config)
    description = plan.describe_model(config, train_data.classes)
    stages = plan.plan_stages(config, len(train_data))
    mesh = sharding.make_mesh(config)
    settings = LoadSettings(
        image_size=description.image_size,
        pixel_mode=description.pixel_mode,
        label=config.data.label,
        on_error=config.data.on_error,
        num_threads=config.data.num_threads,
        num_workers=config.data.num_workers,
    )
    labels = train_data.labels_required(config.data.label)
    weights = losses.class_weights(config.loss.class_weights, labels, description.num_classes)
    learning_rate = plan.learning_rate(stages)
    optimizer = optimizers.make_optimizer(config, learning_rate)
    abstract = step.abstract_state(description, optimizer, mesh)
    evaluator = validation.make_evaluator(
        config,
        description,
        validation_data,
        dataclasses.replace(settings, num_workers=0),  # They take seconds to start each time.
        mesh,
    )
    unreadable = _Unreadable(workdir, train_data)
    run = Run(
        stages=stages,
        steps=[
            step.make_step(
                description,
                optimizer,
                learning_rate,
                config,
                weights,
                stage.trainable,
                abstract,
                mesh,
            )
            for stage in stages
        ],
        put=lambda batch: sharding.to_devices({f: batch[f] for f in step.BATCH_FIELDS}, mesh),
        validate=evaluator,
        score=lambda values: validation.score(config, values),
        validation_steps=plan.validation_steps(config, len(train_data), stages[-1].stop),
        batch_size=config.data.batch_size,
        log_every=config.log_every,
        unreadable=unreadable.add,
    )
    _claim(config, workdir, train_data, validation_data)
    with orbax_store.Checkpoints(workdir, keep_latest=config.keep_latest) as checkpoints:
        state = _resume(workdir, checkpoints, abstract)
        if state is None:
            state = step.init_state(abstract, description, optimizer, config)
            _write_description(config, workdir, description, state, train_data, validation_data)
        start, total = int(state.step), stages[-1].stop
        if start == total:
            say(f"{workdir}: training is already complete at step {total}")
            _export_best(workdir, description)
            return True
        _announce(config, description, state, mesh, train_data, validation_data, start, total)
        loading = training_batches(
            train_data,
            settings,
            batch_size=config.data.batch_size,
            seed=config.seed,
            shuffle=config.data.shuffle,
            start=start,
            process=jax.process_index(),
            processes=jax.process_count(),
        )
        with (
            contextlib.closing(unreadable),
            loading as batches,
            MetricLog(workdir, start, jax.process_index()) as log,
        ):
            state, complete = train_loop(run, state, batches, checkpoints, log, should_stop)
    if complete:
        say(f"{workdir}: complete at step {total}")
        _export_best(workdir, description)
    else:
        say(f"{workdir}: stopped and saved at step {int(state.step)}")
    return complete


def _open_data(config: ConfigDict) -> tuple[Source, Source]:
    data = config.data
    if not data.train:
        raise UserError("config.data.train: expected a dataset, table or folder")
    train_data = _open(data.train, data.train_split, data.data_dir)
    if not data.validation and not train_data.split:
        raise UserError(
            f"config.data.validation: {data.train} has no splits; name the photos to validate on"
        )
    validation_data = _open(data.validation or data.train, data.validation_split, data.data_dir)
    if validation_data.classes != train_data.classes:
        raise UserError(
            f"classes of {train_data.name} are {train_data.classes}, "
            f"of {validation_data.name} {validation_data.classes}"
        )
    validation_data.labels_required(data.label)
    shared = np.intersect1d(train_data.group_hashes(), validation_data.group_hashes())
    if len(shared):
        say(f"warning: {len(shared)} groups (tweets) are in training and validation both")
    return train_data, validation_data


def _open(name: str, split: str, data_dir: str) -> Source:
    """A split of a dataset, or all of a table or folder, which has none."""
    has_splits = bool(split_names(name, data_dir))
    return open_source(name, split if has_splits else "", data_dir=data_dir)


def _plain(value: Any) -> Any:
    """A config as JSON values."""
    if isinstance(value, ConfigDict):
        return {key: _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        pairs = [(f"{prefix}.{k}" if prefix else k, v) for k, v in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        pairs = [(f"{prefix}[{i}]", v) for i, v in enumerate(value)]
    else:
        return {prefix: value}
    return {k: leaf for name, item in pairs for k, leaf in _leaves(item, name).items()}


def _claim(
    config: ConfigDict, workdir: pathlib.Path, train_data: Source, validation_data: Source
) -> None:
    """Writes what the run is into the workdir, or checks that it is the same as before."""
    problem = None
    if jax.process_index() == 0:
        try:
            _claim_first(config, workdir, train_data, validation_data)
        except UserError as error:
            problem = error
    refused = multihost_utils.broadcast_one_to_all(np.array(problem is not None))
    if refused:  # All processes end, or they would wait for the first one.
        raise problem or UserError(f"{workdir}: the first process tells what is wrong")


def _claim_first(
    config: ConfigDict, workdir: pathlib.Path, train_data: Source, validation_data: Source
) -> None:
    now = {
        "config": _plain(config),
        "train": train_data.fingerprint,
        "validation": validation_data.fingerprint,
    }
    path = workdir / RUN_FILE
    if path.exists() and any((workdir / orbax_store.FOLDER).glob("[0-9]*")):
        before = files.read_json(path)
        old, new = _leaves(before), _leaves(json.loads(json.dumps(now)))
        free = {f"config.{field}" for field in FREE_FIELDS}
        changed = [k for k in sorted({*old, *new} - free) if old.get(k) != new.get(k)]
        if changed:
            shown = "; ".join(f"{k}: was {old.get(k)}, is {new.get(k)}" for k in changed)
            raise UserError(f"{workdir}: holds another run; choose another workdir. {shown}")
    elif not path.exists() and {p.name for p in workdir.iterdir()} - {LOCK_FILE}:
        raise UserError(f"{workdir}: not empty and not the workdir of a run (no {RUN_FILE})")
    files.write_json(path, now)


def _resume(
    workdir: pathlib.Path, checkpoints: orbax_store.Checkpoints, abstract: step.TrainState
) -> step.TrainState | None:
    train = {"opt_state": abstract.opt_state, "step": abstract.step, "key": abstract.key}
    restored = checkpoints.restore_latest(abstract.params, train)
    if restored is None:
        return None
    number, params, rest = restored
    say(f"resuming at step {number}")
    if jax.process_index() == 0:
        manifest.note_resumption(workdir, number)
    return step.TrainState(rest["step"], params, rest["opt_state"], rest["key"])


def _write_description(
    config: ConfigDict,
    workdir: pathlib.Path,
    description: ModelDescription,
    state: step.TrainState,
    train_data: Source,
    validation_data: Source,
) -> None:
    if jax.process_index() != 0:
        return
    files.write_json(workdir / DESCRIPTION_FILE, description.to_json())
    with files.replacing(workdir / GROUPS_FILE) as temporary, open(temporary, "wb") as file:
        np.save(file, train_data.group_hashes())
    addressable = all(leaf.is_fully_addressable for leaf in jax.tree.leaves(state.params))
    facts = {
        "config": _plain(config),
        "seed": config.seed,
        "train": _facts(train_data),
        "validation": _facts(validation_data),
        "initial_weights": trees.model_id(state.params) if addressable else None,
    }
    manifest.write(workdir, facts)


def _facts(source: Source) -> dict[str, Any]:
    return {
        "name": source.name,
        "split": source.split,
        "rows": len(source),
        "fingerprint": source.fingerprint,
    }


def _announce(
    config: ConfigDict,
    description: ModelDescription,
    state: step.TrainState,
    mesh: jax.sharding.Mesh,
    train_data: Source,
    validation_data: Source,
    start: int,
    total: int,
) -> None:
    say(
        f"{count_parameters(state.params):,} parameters, {mesh.size} {jax.devices()[0].device_kind}"
        f" device(s), {len(train_data)} training and {len(validation_data)} validation photos, "
        f"label {config.data.label}, steps {start} to {total} of {config.data.batch_size} photos"
    )
    if not config.init_from and any(stage.trainable == "head" for stage in config.stages):
        say(
            "warning: a stage trains the head alone, on a backbone of random weights (no init_from)"
        )
    if config.assumed:
        say(f"assumed, since the original does not document it: {', '.join(config.assumed)}")


def _export_best(workdir: pathlib.Path, description: ModelDescription) -> None:
    """The best weights as one file that every tool for Google's checkpoints reads.

    Several processes leave this to the next start of a single one: restoring is a joint effort.
    """
    if jax.process_count() == 1 and not (workdir / BEST_FILE).exists():
        best = load(workdir, checkpoint="best")
        google_npz.write(workdir / BEST_FILE, best.params, description)
        say(f"the best weights are in {workdir / BEST_FILE}")


class _Unreadable:
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
