"""Metrics of a run: `metrics.jsonl` for machines, TensorBoard event files for eyes."""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorboardX

from vit_sentiment.runtime import files

FILE = "metrics.jsonl"


class MetricLog:
    """Appends rows of metrics; a context manager.

    Rows of steps after `resume_step` are dropped at the start: the run that wrote them was
    interrupted after its last checkpoint, and they are about to be written again. Of several
    processes only the first one writes.
    """

    def __init__(self, workdir: pathlib.Path, resume_step: int, process: int = 0) -> None:
        self._writes = process == 0
        if not self._writes:
            return
        path = workdir / FILE
        kept = [row for row in read(workdir) if row["step"] <= resume_step]
        files.write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._board = tensorboardX.SummaryWriter(
            str(workdir / "tensorboard"), purge_step=resume_step + 1 if resume_step else None
        )

    def __enter__(self) -> "MetricLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writes:
            self._file.close()
            self._board.close()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes one row: names such as `train/loss` to numbers."""
        if not self._writes:
            return
        # JSON has no NaN.
        row = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **row}) + "\n")
        for name, value in metrics.items():
            self._board.add_scalar(name, value, step)


def read(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a workdir's log; a last line that a kill cut off is left out."""
    path = workdir / FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
