"""What a changed computation does to the answers of a model on a labelled split."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from input_pipeline.loader import LoadSettings, evaluation_batches
from input_pipeline.records import UNKNOWN
from input_pipeline.sources import Source
from vit_sentiment.exporting.checking import Run
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress


def compare(first: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Of probabilities [N, C]: mean and largest difference, and the share of changed labels."""
    difference = np.abs(first - other)
    return {
        "mean": float(difference.mean()),
        "largest": float(difference.max()),
        "changed": float((first.argmax(axis=1) != other.argmax(axis=1)).mean()),
    }


def on_data(
    description: ModelDescription,
    runs: Mapping[str, Run],
    source: Source,
    label: str,
    *,
    batch_size: int,
    on_error: str,
) -> tuple[dict[str, dict[str, Any]], int]:
    """Accuracy of each way to run the model, and `compare` with the first of them.

    Args:
      runs: by name; all get the same pixels.
      label: `human_label` or `teacher_label`, that photos are judged by.

    Returns:
      The figures by name, and the number of photos they are of.
    """
    settings = LoadSettings(
        description.image_size, description.pixel_mode, label, on_error=on_error
    )
    probs: dict[str, list[np.ndarray]] = {name: [] for name in runs}
    gold: list[np.ndarray] = []
    with (
        evaluation_batches(source, settings, batch_size=batch_size) as batches,
        progress(f"compare on {source.split}".strip(), len(source), "photos") as tick,
    ):
        for batch in batches:
            used = batch["mask"] & (batch["label"] != UNKNOWN)
            gold.append(batch["label"][used])
            for name, run in runs.items():
                probs[name].append(run(batch["image"].astype(np.float32))["probs"][used])
            tick(int(np.sum(batch["index"] >= 0)))
    labels = np.concatenate(gold)
    if not len(labels):
        raise UserError(f"{source.name}, split {source.split}: no readable row has a {label}")
    all_probs = {name: np.concatenate(parts) for name, parts in probs.items()}
    first = next(iter(all_probs.values()))
    found = {
        name: {"accuracy": float((p.argmax(axis=1) == labels).mean()), **compare(first, p)}
        for name, p in all_probs.items()
    }
    return found, len(labels)
