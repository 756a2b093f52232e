"""Measurements of the stages of `distill`, each in a process of its own."""

import concurrent.futures
import dataclasses
import importlib
import multiprocessing
import resource
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_KIB_OF_GIB = 2**20


@dataclasses.dataclass(frozen=True)
class Options:
    """How much, and of what.

    Attributes:
      scale: share of the full number of hashes, tweets and photos.
      photos: folder of real photos; empty: none.
    """

    scale: float = 1.0
    photos: str = ""


def in_own_process(module: str, *arguments: Any) -> tuple[dict[str, Any], float]:
    """What `measure` of a module of this package returns, and its process' peak memory in GiB."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, module, arguments).result()


def _measure(module: str, arguments: tuple[Any, ...]) -> tuple[dict[str, Any], float]:
    found = importlib.import_module(f"vit_sentiment.benchmarking.{module}").measure(*arguments)
    return found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_OF_GIB


def hashes(options: Options) -> Iterator[str]:
    """Near pairs of hashes: a line for each number of them, and how the time grows."""
    from vit_sentiment.benchmarking.distill_hashes import COUNTS, DISTANCE

    counts = [max(round(count * options.scale), 100) for count in COUNTS]
    times, pairs = [], []
    for count in counts:
        found, peak = in_own_process("distill_hashes", count)
        times.append(found["cpu"])
        pairs.append(found["pairs"])
        yield (
            f"hashes     {count:,}: {found['seconds']:.2f} s ({found['cpu']:.2f} CPU s), with "
            f"clusters {found['cluster_seconds']:.2f} s ({found['cluster_cpu']:.2f} CPU s); "
            f"{found['pairs']:,} pairs of {found['distinct']:,} different ones, recall "
            f"{found['recall']:.6g} at distance {DISTANCE}; {peak:.2f} GiB"
        )
    yield (
        f"hashes     {counts[-1] / counts[0]:.1f} times as many have "
        f"{pairs[-1] / max(pairs[0], 1):.1f} times as many pairs and take "
        f"{times[-1] / times[0]:.1f} times the CPU time"
    )


def precision(options: Options) -> Iterator[str]:
    """Altered copies of real photos against other photos."""
    found, peak = in_own_process("distill_precision", options.photos)
    yield (
        f"precision  {found['photos']:,} different photos of {found['files']:,} files ("
        f"{found['copies']} copies, {found['flat']} flat, {found['damaged']} damaged left out), "
        f"{len(found['recall'])} alterations; {peak:.2f} GiB"
    )
    for distance, judged in found["distances"].items():
        yield (
            f"precision  distance {distance}: {judged['precision']:.5f} ({judged['wrong']:,} of "
            f"{judged['right'] + judged['wrong']:,} pairs are wrong), recall {judged['recall']:.3f}"
        )
    for name, recalls in found["recall"].items():
        listed = ", ".join(f"{recall:.3f} at {distance}" for distance, recall in recalls.items())
        yield f"precision  {name}: recall {listed}"


def tables(options: Options) -> Iterator[str]:
    """Filter, label, balance and split of a whole crawl."""
    from vit_sentiment.benchmarking.distill_tables import PHOTOS, SETTINGS, TWEETS

    tweets, photos = round(TWEETS * options.scale), round(PHOTOS * options.scale)
    for settings in SETTINGS:
        found, peak = in_own_process("distill_tables", tweets, photos, settings)
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["stages"].items())
        parts = " + ".join(f"{count:,}" for count in found["parts"].values())
        yield (
            f"tables     {tweets:,} tweets, {photos:,} photos, {settings}: "
            f"{found['seconds']:.2f} s ({found['cpu']:.2f} CPU s: {stages}); {parts} photos; "
            f"{peak:.2f} GiB"
        )


def writing(options: Options) -> Iterator[str]:
    """Writing a dataset of smaller photos, beside bare decoding and encoding."""
    from vit_sentiment.benchmarking.writing import PHOTOS, SHORT_SIDE

    count = max(round(PHOTOS * options.scale), 8)
    found, peak = in_own_process("writing", options.photos, count)
    for name, unit, ratio in (("", "photos/s", "ratio"), ("_core", "photos/core-s", "core_ratio")):
        bare, write = (statistics.median(found[f"{kind}{name}"]) for kind in ("bare", "write"))
        yield (
            f"writing    {found['photos']:,} photos, short side {SHORT_SIDE}, {found['workers']} "
            f"workers: {write:,.0f} {unit}, decoding and encoding alone {bare:,.0f}, ratio "
            f"{found[ratio]:.2f}; {peak:.2f} GiB"
        )


PARTS: Mapping[str, Callable[[Options], Iterator[str]]] = {
    "hashes": hashes,
    "precision": precision,
    "tables": tables,
    "writing": writing,
}
"""Each gives its lines as they are measured."""
