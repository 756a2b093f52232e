"""Validation while training: counts summed on the devices, metrics at the end."""

import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from checkpoints.orbax_store import UNSCORED
from input_pipeline.loader import LoadSettings, evaluation_batches
from input_pipeline.records import CLASSES
from input_pipeline.sources import Source
from vit_sentiment.evaluation import metrics
from vit_sentiment.inference.forward import outputs
from vit_sentiment.models.classifier import Params, normalise
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.reporting import metric_log
from vit_sentiment.runtime.progress import say
from vit_sentiment.training import losses, sharding
from vit_sentiment.training.step import BATCH_FIELDS

Evaluator = Callable[[Params], dict[str, float]]
Count = Callable[[Params, dict[str, jax.Array]], tuple[jax.Array, ...]]
METRICS = ("macro_f1", "accuracy", "binary_accuracy", "log_loss")
WEIGHTS = ("raw", "ema")


def score(config: ConfigDict, values: Mapping[str, float | None]) -> float:
    """What the best checkpoint has most of, from a row of the metric log."""
    name = config.validation.metric
    part = "validation_ema" if config.validation.weights == "ema" else "validation"
    value = values[f"{part}/{name}"]
    if value is None or not math.isfinite(value):  # The log has None for NaN.
        return UNSCORED
    return -value if name == "log_loss" else value


def past_scores(config: ConfigDict, workdir: pathlib.Path, step: int) -> list[float]:
    """Scores of the validations up to `step`, from the workdir's metric log."""
    rows = [row for row in metric_log.read(workdir) if row["step"] <= step]
    return [score(config, row) for row in rows if "validation/accuracy" in row]


def best(config: ConfigDict, rows: Sequence[Mapping[str, Any]]) -> tuple[int, float] | None:
    """Step and value of the metric at the best validation of a log, of several equal the last.

    None where no validation was finite.
    """
    scores = {
        row["step"]: score(config, row)
        for row in rows
        if "validation/accuracy" in row and None not in row.values()  # None: was not finite.
    }
    if not scores:
        return None
    step = max(scores, key=lambda step: (scores[step], step))
    return step, -scores[step] if config.validation.metric == "log_loss" else scores[step]


def enough(config: ConfigDict, scores: Sequence[float]) -> bool:
    """Whether the last `patience` scores are no better than the best before by `min_delta`."""
    patience = config.early_stopping.patience
    if not patience or len(scores) <= patience:
        return False
    best, since = scores[0], 0
    for value in scores[1:]:
        if value > best + config.early_stopping.min_delta:
            best, since = value, 0
        else:
            since += 1
    return since >= patience


def make_count(config: ConfigDict, description: ModelDescription, mesh: Mesh) -> Count:
    """The jitted sums over a batch: confusion counts [C, C], log-loss, hits of the binary rule."""
    classes = description.num_classes

    @functools.partial(jax.jit, out_shardings=sharding.replicated(mesh))
    def count(params: Params, batch: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
        images = normalise(batch["image"], description)
        logits = outputs(description, params, images)["logits"]
        log_probs = losses.log_probabilities(logits, description.output_mask)
        gold = jax.nn.one_hot(batch["label"], classes) * batch["mask"][:, None]
        predicted = jax.nn.one_hot(log_probs.argmax(-1), classes)
        # The rule of the original's benchmarks; means nothing where classes are others.
        positive = log_probs[:, -1] > log_probs[:, 0]
        hits = (batch["label"] == jnp.where(positive, classes - 1, 0)) & batch["mask"]
        return gold.T @ predicted, -jnp.sum(gold * log_probs), hits.sum()

    return count


def make_evaluator(
    config: ConfigDict, count: Count, source: Source, settings: LoadSettings, mesh: Mesh
) -> Evaluator:
    """A function from parameters to metrics on `source`.

    They are accuracy, macro-F1, macro recall, log-loss and, for the three classes of sentiment,
    the accuracy of negative against positive. The label is the one that `settings` reads: for a
    distilled student, the teacher's.

    Args:
      count: see `make_count`.
    """
    classes = len(source.classes)

    def evaluate(params: Params) -> dict[str, float]:
        counts, loss, hits, masked = np.zeros((classes, classes)), 0.0, 0, 0
        loading = evaluation_batches(
            source,
            settings,
            batch_size=config.validation.batch_size,
            process=jax.process_index(),
            processes=jax.process_count(),
        )
        with loading as batches:
            for batch in batches:
                masked += int(np.sum(~batch["mask"] & (batch["index"] >= 0)))
                fields = {name: batch[name] for name in BATCH_FIELDS}
                sums = count(params, sharding.to_devices(fields, sharding.rows(mesh)))
                counts += np.asarray(sums[0])
                loss += float(sums[1])
                hits += int(sums[2])
        if masked:
            say(f"validation leaves out {masked} unreadable photos")
        counts = np.rint(counts).astype(np.int64)
        values = metrics.from_confusion(counts)
        found = {name: float(values[name]) for name in ("accuracy", "macro_f1", "macro_recall")}
        if source.classes == CLASSES:
            polar = counts.sum() - counts[CLASSES.index("neutral")].sum()
            found["binary_accuracy"] = hits / max(int(polar), 1)
        return {**found, "log_loss": loss / max(int(counts.sum()), 1)}

    return evaluate
