"""The one grain graph: from a source to host batches, for training and for evaluation.

The graph runs over the numbers of steps; one map tells which records a step reads, another reads
and decodes them. So the order of the data is settled before any photo is touched, ArrayRecord is
read many records at a time, and what an interrupted run must remember is one integer, its step. The
order is a function of (seed, epoch, global index); processes, devices, threads and workers do not
enter.
"""

import contextlib
import dataclasses
import math
import signal
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from input_pipeline import photos, pixels
from input_pipeline.records import UNKNOWN, Batch
from input_pipeline.sources import RandomAccess, Source
from vit_sentiment.runtime.errors import UserError

PADDING = -1
_ENDLESS = 2**62
_MOST_AHEAD = 2**30
"""Bytes of decoded pixels that may wait for the devices, in each decoding process."""


@dataclasses.dataclass(frozen=True)
class LoadSettings:
    """How photos become pixels and what travels with them.

    Attributes:
      image_size: height and width in pixels.
      pixel_mode: see `pixels`.
      label: `teacher_label` or `human_label`; the other never leaves the source.
      on_error: `fail`, or `skip`: an unreadable photo becomes a slot with mask False.
      num_threads: decoding threads; 0 decodes in the caller's; -1 is one for each core.
      num_workers: processes; 0 uses threads alone, which is enough for most: decoders release
        the interpreter lock.
    """

    image_size: tuple[int, int]
    pixel_mode: str
    label: str
    on_error: str = "fail"
    num_threads: int = -1
    num_workers: int = 0


@dataclasses.dataclass(frozen=True)
class _LoadBatch:
    """Record numbers [b] (negative: padding) to a `Batch`; picklable, for grain's workers."""

    data: RandomAccess
    num_classes: int
    settings: LoadSettings

    def __call__(self, numbers: np.ndarray) -> Batch:
        settings, size = self.settings, len(numbers)
        shape = (size, *settings.image_size, 3)
        batch = Batch(
            image=np.zeros(shape, pixels.DTYPE[settings.pixel_mode]),
            label=np.full(size, UNKNOWN, np.int32),
            probs=np.zeros((size, self.num_classes), np.float32),
            mask=np.zeros(size, np.bool_),
            index=numbers.astype(np.int64),
        )
        slots = np.flatnonzero(numbers >= 0)
        examples = self.data.__getitems__([int(number) for number in numbers[slots]])
        for slot, example in zip(slots, examples, strict=True):
            batch["label"][slot] = example[settings.label]
            if settings.label == "teacher_label":
                batch["probs"][slot] = example["teacher_probs"]
            try:
                image = example["image"]
                if isinstance(image, pixels.DecodeError):
                    raise image
                batch["image"][slot] = pixels.load(image, settings.image_size, settings.pixel_mode)
                batch["mask"][slot] = True
            except pixels.DecodeError as error:
                if settings.on_error == "fail":
                    raise UserError(
                        f"record {example['id']!r}: {error}; on_error=skip masks such photos"
                    ) from error
        return batch


@dataclasses.dataclass(frozen=True)
class _LocalRows:
    """A step to the record numbers [b] of one process: its slice of the step's global batch.

    Attributes:
      stream: record numbers by their place in the order of the data; None: the identity.
      length: of the data; places beyond it are padding, unless there is a stream.
    """

    stream: grain.MapDataset | None
    length: int
    batch_size: int
    process: int
    processes: int

    def __call__(self, step: int) -> np.ndarray:
        local = self.batch_size // self.processes
        start = step * self.batch_size + self.process * local
        places = np.arange(start, start + local)
        if self.stream is None:
            return np.where(places < self.length, places, PADDING)
        return np.array([self.stream[int(place)] for place in places])


def training_batches(
    source: Source,
    settings: LoadSettings,
    *,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
    start: int = 0,
    process: int = 0,
    processes: int = 1,
) -> contextlib.AbstractContextManager[Iterator[Batch]]:
    """Endless batches of `batch_size` rows over all processes, from global step `start` on.

    The stream is epoch after epoch, each another permutation; batches may straddle two epochs, so
    that every photo is seen equally often.
    """
    stream = grain.MapDataset.range(len(source))
    if shuffle:
        stream = stream.seed(seed).shuffle()
    rows = _LocalRows(stream.repeat(None), len(source), batch_size, process, processes)
    return _load(source, settings, grain.MapDataset.range(start, _ENDLESS), rows)


def evaluation_batches(
    source: Source,
    settings: LoadSettings,
    *,
    batch_size: int,
    process: int = 0,
    processes: int = 1,
) -> contextlib.AbstractContextManager[Iterator[Batch]]:
    """Every row once and in order; the last batch is padded, so all processes see equally many."""
    rows = _LocalRows(None, len(source), batch_size, process, processes)
    steps = grain.MapDataset.range(num_batches(len(source), batch_size))
    return _load(source, settings, steps, rows)


def num_batches(rows: int, batch_size: int) -> int:
    """Batches of an evaluation, the padded last one included."""
    return -(-rows // batch_size)


def _ignore_stop_signals(worker: int, workers: int) -> None:
    """Ctrl-C and Slurm's SIGTERM reach all processes; the main one saves first, then ends these."""
    del worker, workers
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _read_options(settings: LoadSettings, local_rows: int) -> grain.ReadOptions:
    """Threads and batches ahead of one process, within `_MOST_AHEAD` bytes of pixels."""
    threads = settings.num_threads
    if threads < 0:
        threads = max(1, photos.cores() // max(1, settings.num_workers))
    pixel = 3 * np.dtype(pixels.DTYPE[settings.pixel_mode]).itemsize
    batch = local_rows * math.prod(settings.image_size) * pixel
    ahead = max(2, min(2 * threads, _MOST_AHEAD // batch))
    return grain.ReadOptions(num_threads=min(threads, ahead), prefetch_buffer_size=ahead)


@contextlib.contextmanager
def _load(
    source: Source, settings: LoadSettings, steps: grain.MapDataset, rows: _LocalRows
) -> Iterator[Iterator[Batch]]:
    if rows.batch_size % rows.processes:
        raise ValueError(f"{rows.batch_size} rows cannot be shared by {rows.processes} processes")
    load = _LoadBatch(source.data, len(source.classes), settings)
    options = _read_options(settings, rows.batch_size // rows.processes)
    dataset = steps.map(rows).map(load).to_iter_dataset(options)
    if settings.num_workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain's workers read absl flags; a notebook has none.
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=settings.num_workers), _ignore_stop_signals
        )
    iterator = iter(dataset)
    try:
        yield iterator
    finally:
        iterator.close()
