"""One training run in one workdir: set up or resume, train, say what came out."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from checkpoints import google_npz, orbax_store
from input_pipeline.loader import LoadSettings, training_batches
from input_pipeline.sources import Source, open_source, split_names
from vit_sentiment.inference.model import load
from vit_sentiment.models.classifier import count_parameters
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import manifest
from vit_sentiment.reporting.metric_log import MetricLog
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
from vit_sentiment.training import workdir as workdirs
from vit_sentiment.training.loop import Run, train_loop


def train(config: ConfigDict, workdir: pathlib.Path, should_stop: Callable[[int], bool]) -> bool:
    """Trains or resumes the run that `config` describes in `workdir`; whether it is complete.

    Args:
      should_stop: see `stopping.stop_requests`.

    Raises:
      UserError: the config, the data or the workdir do not allow it; the loss is not finite.
    """
    checks.check(config)
    with workdirs.only_one(workdir):
        return _train(config, workdir, should_stop)


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
    unreadable = workdirs.Unreadable(workdir, train_data)
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
    workdirs.claim(config, workdir, train_data, validation_data)
    with orbax_store.Checkpoints(workdir, keep_latest=config.keep_latest) as checkpoints:
        state = _resume(workdir, checkpoints, abstract)
        if state is None:
            state = step.init_state(abstract, description, optimizer, config)
            workdirs.write_description(
                config, workdir, description, state, train_data, validation_data
            )
        start, total = int(state.step), stages[-1].stop
        if start == total:
            say(f"{workdir}: training is already complete at step {total}")
            _export_best(workdir)
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
        _export_best(workdir)
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


def _export_best(workdir: pathlib.Path) -> None:
    """The best weights as one file that every tool for Google's checkpoints reads.

    Several processes leave this to the next start of a single one: restoring is a joint effort.
    """
    if jax.process_count() == 1 and not (workdir / workdirs.BEST_FILE).exists():
        best = load(workdir, checkpoint="best")
        google_npz.write(workdir / workdirs.BEST_FILE, best.params, best.description)
        say(f"the best weights are in {workdir / workdirs.BEST_FILE}")
