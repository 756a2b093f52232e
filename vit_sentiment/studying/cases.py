"""The runs of the study of noise: their folders, their configs, and what they need beforehand."""

import copy
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from ml_collections import ConfigDict

from input_pipeline.sources import Source, open_source
from vit_sentiment.evaluation import judge, noise_matrix
from vit_sentiment.inference.model import load
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.studying.drawn import labelled_tweets
from vit_sentiment.studying.methods import METHODS, NOISES, PLAIN, Matrix
from vit_sentiment.training.run import Job, train_jobs

BASELINE = "hard"
"""What every method is compared with, and what the noise matrix is estimated with."""
CHECKPOINT = "latest"
"""What is evaluated. Validation on two thousand labels of the teacher is off by a point by luck;
to choose by it was measured to be no better than the end of the schedule, see docs/noise.md."""
MATRIX_FILE = "noise_matrix.json"
_SECOND = "second_teacher"
_KEPT_FILE = "agreement.npz"
_BATCH = 256

ShouldStop = Callable[[int], bool]


@dataclasses.dataclass(frozen=True)
class Study:
    """What is compared.

    Attributes:
      out: folder of everything.
      config: of the students; the methods change its loss.
      count: tweets of each seed.
      methods, noises: names of `METHODS` and `NOISES`.
    """

    out: pathlib.Path
    config: ConfigDict
    count: int
    seeds: Sequence[int]
    methods: Sequence[str]
    noises: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Case:
    """One run: a method on the tweets of a noise and a seed."""

    study: Study
    noise: str
    seed: int
    method: str

    @property
    def folder(self) -> pathlib.Path:
        """Of all that belongs to the noise and the seed."""
        return self.study.out / self.noise / f"seed-{self.seed}"

    @property
    def workdir(self) -> pathlib.Path:
        """Of the run."""
        return self.folder / self.method


def cases(study: Study) -> Iterator[Case]:
    """All runs; the baseline is the first of its noise and seed, since others need it."""
    rest = [name for name in study.methods if name != BASELINE]
    for noise in study.noises:
        for seed in study.seeds:
            for method in [BASELINE, *rest]:
                yield Case(study, noise, seed, method)


def data(case: Case) -> str:
    """The dataset of the case's noise and seed, which is drawn and labelled if it is not there."""
    flags = [NOISES[case.noise].flag]
    return labelled_tweets(case.folder / "data", case.study.count, case.seed, flags)


def config(case: Case, dataset: str, matrix: Matrix) -> ConfigDict:
    """The study's config with the case's loss, data and seed."""
    own = copy.deepcopy(case.study.config)
    own.seed = case.seed
    own.data.train = dataset
    changes = {**PLAIN, **METHODS[case.method].changes, "loss.noise_matrix": matrix}
    own.update_from_flattened_dict(changes)
    return own


def matrix(case: Case, dataset: str) -> Matrix:
    """The noise matrix that the case's loss is corrected by; empty: none.

    An estimated one is kept in the case's folder, beside the baseline that it was made with.
    """
    source = METHODS[case.method].matrix
    if not source:
        return ()
    given = NOISES[case.noise].matrix
    if source == "given":
        return given
    path = case.folder / MATRIX_FILE
    if not path.exists():
        photos = open_source(dataset, "validation")
        probs = _predict(case.folder / BASELINE, photos).probs
        estimated = noise_matrix.estimate(photos.labels_required("teacher_label"), probs).round(4)
        off = float(np.abs(estimated - given).max())
        files.write_json(path, {"estimated": estimated.tolist(), "largest_error": off})
    return tuple(map(tuple, files.read_json(path)["estimated"]))


def parts(case: Case, own: ConfigDict, should_stop: ShouldStop) -> tuple[Source, Source] | None:
    """What the case trains and validates on; None where `should_stop` said so before."""
    train, validation = (open_source(own.data.train, part) for part in ("train", "validation"))
    if not METHODS[case.method].filtered:
        return train, validation
    path = case.folder / _SECOND / _KEPT_FILE
    if not path.exists() and not _second_teacher(case, train, validation, path, should_stop):
        return None
    with np.load(path) as found:
        kept = np.flatnonzero(found["labels"] == train.labels_required("teacher_label"))
    if not len(kept):
        raise UserError(f"{path}: the teachers agree on no photo")
    return train.take(kept, "train, teachers agree"), validation


def _second_teacher(
    case: Case, train: Source, validation: Source, path: pathlib.Path, should_stop: ShouldStop
) -> bool:
    """Labels each half of the tweets by a student of the other half; whether it came to its end."""
    _, tweet = np.unique(train.index["group"].to_numpy(), return_inverse=True)
    half = np.random.default_rng(case.seed).integers(2, size=tweet.max() + 1)[tweet]
    labels = np.zeros(len(train), np.int32)
    own = config(dataclasses.replace(case, method=BASELINE), train.name, ())
    for number in range(2):
        rest, ours = np.flatnonzero(half != number), np.flatnonzero(half == number)
        workdir = path.parent / f"half-{number}"
        photos = train.take(rest, f"train, without half {number}"), validation
        job = Job(own, workdir, f"second teacher of half {number}", photos)
        if not train_jobs([job], "never", should_stop):
            return False
        probs = _predict(workdir, train.take(ours, f"train, half {number}")).probs
        labels[ours] = probs.argmax(axis=1)
    with files.replacing(path) as temporary:
        np.savez(temporary, labels=labels)
    return True


def _predict(workdir: pathlib.Path, photos: Source) -> judge.Predictions:
    model = load(workdir, checkpoint=CHECKPOINT)
    return judge.predictions(model, photos, batch_size=_BATCH)
