"""What a run needs before its first step: data, model, stages, mesh, optimiser and jitted steps."""

import dataclasses
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from input_pipeline.loader import LoadSettings
from input_pipeline.records import Batch
from input_pipeline.sources import Source, open_source, split_names
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import say
from vit_sentiment.training import losses, optimizers, plan, sharding, step, validation
from vit_sentiment.training.loop import Run
from vit_sentiment.training.losses import Loss
from vit_sentiment.training.plan import Stage
from vit_sentiment.training.step import TrainState


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a run is made of; runs that differ in their seeds alone share one.

    Attributes:
      config: of the first of them.
      settings: how photos are loaded.
      abstract: a state's shapes and shardings.
    """

    config: ConfigDict
    train_data: Source
    validation_data: Source
    description: ModelDescription
    stages: list[Stage]
    mesh: Mesh
    settings: LoadSettings
    loss: Loss
    optimizer: optax.GradientTransformation
    abstract: TrainState

    @property
    def total(self) -> int:
        """Steps of a run that does not end early."""
        return self.stages[-1].stop

    @property
    def program(self) -> tuple[Any, ...]:
        """What a `Run` is made of that differs between setups of one config."""
        weights = (self.loss.class_weights.tobytes(), self.loss.adjustment.tobytes())
        return (*(stage.stop for stage in self.stages), self.validation_steps, *weights)

    @property
    def validation_steps(self) -> frozenset[int]:
        """After which to validate; epochs end elsewhere where there are more photos."""
        return plan.validation_steps(self.config, len(self.train_data), self.total)


def prepare(config: ConfigDict, data: tuple[Source, Source] | None = None) -> Setup:
    """Plans the run.

    Args:
      data: for training and validation; None opens what the config names.

    Raises:
      UserError: config, data or devices do not allow it.
    """
    train_data, validation_data = data or _open_data(config)
    labels = train_data.labels_required(config.data.label)
    validation_data.labels_required(config.data.label)
    description = plan.describe_model(config, train_data.classes)
    stages = plan.plan_stages(config, len(train_data))
    mesh = sharding.make_mesh(config)
    optimizer = optimizers.make_optimizer(config, plan.learning_rate(stages))
    return Setup(
        config=config,
        train_data=train_data,
        validation_data=validation_data,
        description=description,
        stages=stages,
        mesh=mesh,
        settings=LoadSettings(
            image_size=description.image_size,
            pixel_mode=description.pixel_mode,
            label=config.data.label,
            on_error=config.data.on_error,
            num_threads=config.data.num_threads,
            num_workers=config.data.num_workers,
        ),
        loss=losses.make_loss(config, labels, description),
        optimizer=optimizer,
        abstract=step.abstract_state(description, optimizer, config, mesh),
    )


def make_run(setup: Setup, members: int) -> Run:
    """What the loop needs to train so many runs side by side."""
    config, mesh = setup.config, setup.mesh
    rows = sharding.rows(mesh)

    def put(batches: list[Batch]) -> dict[str, jax.Array]:
        if members == 1:
            return sharding.to_devices({f: batches[0][f] for f in step.BATCH_FIELDS}, rows)
        fields = {f: np.stack([batch[f] for batch in batches]) for f in step.BATCH_FIELDS}
        return sharding.to_devices(fields, sharding.stacked(rows))

    return Run(
        stages=setup.stages,
        steps=[
            step.make_step(
                setup.description,
                setup.optimizer,
                plan.learning_rate(setup.stages),
                config,
                setup.loss,
                stage.trainable,
                setup.abstract,
                mesh,
                runs=members,
            )
            for stage in setup.stages
        ],
        put=put,
        split=lambda state: [state] if members == 1 else step.unstack(state, setup.abstract),
        score=lambda values: validation.score(config, values),
        enough=lambda scores: validation.enough(config, scores),
        validation_steps=setup.validation_steps,
        batch_size=config.data.batch_size,
        log_every=config.log_every,
    )


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
    shared = np.intersect1d(train_data.group_hashes(), validation_data.group_hashes())
    if len(shared):
        say(f"warning: {len(shared)} groups (tweets) are in training and validation both")
    return train_data, validation_data


def _open(name: str, split: str, data_dir: str) -> Source:
    """A split of a dataset, or all of a table or folder, which has none."""
    has_splits = bool(split_names(name, data_dir))
    return open_source(name, split if has_splits else "", data_dir=data_dir)
