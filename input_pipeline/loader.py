"""The one grain graph: from a source to host batches, for training and for evaluation.

The graph runs over batches of record numbers, and one map reads and decodes a whole batch: the
order of the data is settled before any photo is touched, ArrayRecord is read many records at a
time, and what an interrupted run must remember is one integer, the batches consumed. The order is
a function of (seed, epoch, global index); processes, devices, threads and workers do not enter.
"""

import contextlib
import dataclasses
import functools
import os
import signal
from collections.abc import Iterator

import grain
import numpy as np
from absl import flags

from input_pipeline import pixels
from input_pipeline.records import UNKNOWN, Batch
from input_pipeline.sources import RandomAccess, Source, UnreadableFile
from vit_sentiment.runtime.errors import UserError

PADDING = -1


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
                if isinstance(image, UnreadableFile):
                    raise pixels.DecodeError(image)
                batch["image"][slot] = pixels.load(image, settings.image_size, settings.pixel_mode)
                batch["mask"][slot] = True
            except pixels.DecodeError as error:
                if settings.on_error == "fail":
                    raise UserError(
                        f"record {example['id']!r}: {error}; on_error=skip masks such photos"
                    ) from error
        return batch


def _local_rows(numbers: np.ndarray, process: int, processes: int) -> np.ndarray:
    """The part of a global batch that one process reads: a contiguous slice."""
    local, rest = divmod(len(numbers), processes)
    if rest:
        raise ValueError(f"a batch of {len(numbers)} cannot be shared by {processes} processes")
    return numbers[process * local : (process + 1) * local]


def _pad(numbers: np.ndarray, length: int) -> np.ndarray:
    return np.where(numbers < length, numbers, PADDING)


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
    numbers = grain.MapDataset.range(len(source))
    if shuffle:
        numbers = numbers.seed(seed).shuffle()
    numbers = numbers.repeat(None).batch(batch_size)
    return _load(source, settings, numbers[start:], process, processes)


def evaluation_batches(
    source: Source,
    settings: LoadSettings,
    *,
    batch_size: int,
    process: int = 0,
    processes: int = 1,
) -> contextlib.AbstractContextManager[Iterator[Batch]]:
    """Every row once and in order; the last batch is padded, so all processes see equally many."""
    padded = num_batches(len(source), batch_size) * batch_size
    numbers = grain.MapDataset.range(padded).batch(batch_size)
    numbers = numbers.map(functools.partial(_pad, length=len(source)))
    return _load(source, settings, numbers, process, processes)


def num_batches(rows: int, batch_size: int) -> int:
    """Batches of an evaluation, the padded last one included."""
    return -(-rows // batch_size)


def _ignore_ctrl_c(worker: int, workers: int) -> None:
    """Ctrl-C on a terminal reaches all processes; the main one saves first and ends these then."""
    del worker, workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _load(
    source: Source, settings: LoadSettings, numbers: grain.MapDataset, process: int, processes: int
) -> Iterator[Iterator[Batch]]:
    local = functools.partial(_local_rows, process=process, processes=processes)
    load = _LoadBatch(source.data, len(source.classes), settings)
    threads = settings.num_threads if settings.num_threads >= 0 else os.cpu_count() or 1
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = numbers.map(local).map(load).to_iter_dataset(options)
    if settings.num_workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain's workers read absl flags; a notebook has none.
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=settings.num_workers), _ignore_ctrl_c
        )
    iterator = iter(dataset)
    try:
        yield iterator
    finally:
        iterator.close()
