"""Features of a frozen model for all photos of a source, computed once and kept in a cache.

A cache file is an `.npz` of `features` and `readable`. It is written batch by batch, so that a
million photos need no more memory than a thousand, and its archive carries the checksums that tell
a damaged file.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Iterator

import numpy as np

import vit_sentiment
from input_pipeline import pixels
from input_pipeline.loader import LoadSettings, evaluation_batches
from input_pipeline.sources import Source
from vit_sentiment.inference.forward import batch_outputs
from vit_sentiment.inference.model import Model
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress, say

_WINDOW = 256
"""Photos in memory at a time while they are hashed."""


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of every row of a source, in order.

    Attributes:
      values: float32 [N, D]; zero where `readable` is False.
      readable: bool [N].
    """

    values: np.ndarray
    readable: np.ndarray


def default_cache() -> pathlib.Path:
    """`vit_sentiment/features` below `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base, "vit_sentiment", "features")


def cached_features(
    model: Model,
    source: Source,
    cache: str | os.PathLike[str],
    *,
    batch_size: int,
    on_error: str = "fail",
) -> Features:
    """Features from the cache, where they are computed first if they are not there.

    Args:
      cache: folder, made if need be.
      batch_size: photos at a time; a multiple of the number of devices.

    Raises:
      UserError: a photo is unreadable (`fail`); the model gives NaN.
    """
    path = cache_file(model, source, cache)
    shape = (len(source), model.description.hidden_size)
    if path.exists():
        try:
            found = _read(path, shape)
        except Exception as error:  # zipfile and numpy raise a dozen kinds for damage.
            say(f"{path}: damaged ({error}); the features are computed again")
        else:
            # What an earlier run skipped fails again, with its reason, where this one must fail.
            if on_error == "skip" or found.readable.all():
                say(f"features {source.split}".strip() + f": {len(source)} photos from {path}")
                return found
    with files.replacing(path) as temporary:
        _write(temporary, shape, _batches(model, source, batch_size, on_error))
    return _read(path, shape)


def cache_file(model: Model, source: Source, cache: str | os.PathLike[str]) -> pathlib.Path:
    """Where the features are kept: a name made of all that they depend on.

    That is the weights, the description (pixel mode, image size, GELU, ...), the photos in their
    order, and the version of this project. Labels are not among it: a dataset that another teacher
    labels keeps its features.
    """
    made_from = {
        "version": vit_sentiment.__version__,
        "model_id": model.model_id,
        "description": model.description.to_json(),
        "photos": _photos_hash(source),
    }
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    return pathlib.Path(cache, model.model_id, f"{digest[:32]}.npz")


def _photos_hash(source: Source) -> str:
    """Hash of the photos' hashes, in order.

    Nobody has hashed the photo files of a table yet. They are read for it, since times and sizes of
    files do not tell for sure that nothing changed; that costs little beside the forward path.
    """
    hashes = source.index["sha256"]
    if hashes.null_count():
        hashes = _file_hashes(source)
    digest = hashlib.sha256()
    for text in hashes:
        digest.update(text.encode())
    return digest.hexdigest()


def _file_hashes(source: Source) -> Iterator[str]:
    with progress(f"hash {source.name}", len(source), "photos") as tick:
        for start in range(0, len(source), _WINDOW):
            numbers = range(start, min(start + _WINDOW, len(source)))
            for example in source.data.__getitems__(numbers):
                unreadable = isinstance(example["image"], pixels.DecodeError)
                yield hashlib.sha256(b"" if unreadable else example["image"]).hexdigest()
            tick(len(numbers))


def _batches(
    model: Model, source: Source, batch_size: int, on_error: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields features [b, D] and readable [b] of the rows, in order."""
    description = model.description
    # Any label will do, since none is used.
    settings = LoadSettings(
        description.image_size, description.pixel_mode, "human_label", on_error=on_error
    )
    with (
        evaluation_batches(source, settings, batch_size=batch_size) as batches,
        progress(f"features {source.split}".strip(), len(source), "images") as tick,
    ):
        for batch, outputs in batch_outputs(model.description, model.params, batches):
            real = batch["index"] >= 0
            readable = batch["mask"][real]
            features = np.where(readable[:, None], outputs["features"][real], np.float32(0))
            if bad := int(np.sum(~np.isfinite(features).all(axis=1))):
                raise UserError(
                    f"{model.source}: gives NaN for {bad} photos of a batch of "
                    f"{len(features)}; the weights are damaged"
                )
            yield features, readable
            tick(len(features))


def _write(
    path: pathlib.Path,
    shape: tuple[int, int],
    batches: Iterator[tuple[np.ndarray, np.ndarray]],
) -> None:
    """What `np.savez` writes, without ever holding it all."""
    masks = []
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("features.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            for features, readable in batches:
                member.write(features.astype("<f4").tobytes())
                masks.append(readable)
        with archive.open("readable.npy", "w") as member:
            np.lib.format.write_array(member, np.concatenate(masks))


def _read(path: pathlib.Path, shape: tuple[int, int]) -> Features:
    with np.load(path, allow_pickle=False) as file:
        values, readable = file["features"], file["readable"]
    if values.shape != shape or readable.shape != shape[:1]:
        raise ValueError(f"expected {shape} features, found {values.shape}")
    return Features(values, readable)
