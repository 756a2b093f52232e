"""What a workdir tells of its run: for the report and the model card."""

import dataclasses
import pathlib
import statistics
from typing import Any

from ml_collections import ConfigDict

from vit_sentiment.reporting import manifest, metric_log
from vit_sentiment.runtime import files
from vit_sentiment.training import validation
from vit_sentiment.training import workdir as workdirs


@dataclasses.dataclass(frozen=True)
class Found:
    """What a workdir tells of its run.

    Attributes:
      config: as `run.json` has it.
      made: the manifest.
      log: rows of the metric log.
      best: step and value of the metric that chooses the best checkpoint; None before the first
        validation.
      speed: median of photos a second; None where nothing was logged.
      unreadable: photos that were masked.
    """

    config: dict[str, Any]
    made: dict[str, Any]
    log: list[dict[str, Any]]
    best: tuple[int, float] | None
    speed: float | None
    unreadable: int

    @property
    def steps(self) -> int:
        """How many were made."""
        return max((row["step"] for row in self.log), default=0)

    @property
    def metric(self) -> str:
        """Column of the log that chooses the best checkpoint."""
        chosen = self.config["validation"]
        part = "validation_ema" if chosen["weights"] == "ema" else "validation"
        return f"{part}/{chosen['metric']}"

    def at(self, step: int) -> dict[str, Any]:
        """The validation of a step; empty where there was none."""
        rows = [row for row in self.log if row["step"] == step and "validation/accuracy" in row]
        return rows[-1] if rows else {}

    def validated(self) -> list[int]:
        """Steps with a validation."""
        return [row["step"] for row in self.log if "validation/accuracy" in row]


def is_run(workdir: pathlib.Path) -> bool:
    """Whether a run was begun in the folder."""
    return (workdir / workdirs.RUN_FILE).exists()


def read(workdir: pathlib.Path) -> Found:
    """Reads what is there of a run, whether complete or not."""
    run = files.read_json(workdir / workdirs.RUN_FILE)
    config, made = run["config"], files.read_json(workdir / manifest.FILE)
    for part in ("train", "validation"):  # Of a manifest that was lost, a resumption is left.
        told = {"name": config["data"][part], "split": "", "rows": 0, "fingerprint": run[part]}
        made.setdefault(part, told)
    log = metric_log.read(workdir)
    speeds = [speed for row in log if (speed := row.get("speed/images_per_second"))]
    path = workdir / workdirs.UNREADABLE_FILE
    masked = len(path.read_text(encoding="utf-8").splitlines()) - 1 if path.exists() else 0
    return Found(
        config=config,
        made=made,
        log=log,
        best=validation.best(ConfigDict(config), log),
        speed=statistics.median(speeds) if speeds else None,
        unreadable=masked,
    )
