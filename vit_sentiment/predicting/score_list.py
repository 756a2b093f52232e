"""Scores a list of photos into a folder of Parquet shards, by one host or several; restartable."""

import contextlib
import fcntl
import hashlib
import itertools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import vit_sentiment
from vit_sentiment.distillation.shards import agree
from vit_sentiment.inference.decision import classes
from vit_sentiment.inference.model import Model
from vit_sentiment.predicting import list_report, listing, share_summary
from vit_sentiment.predicting.choices import Choice
from vit_sentiment.predicting.listing import PhotoList
from vit_sentiment.predicting.scored_shards import Shards
from vit_sentiment.predicting.scoring import Options, score_shards
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.runtime.progress import progress, say

RUN_FILE = "run.json"
_LOCK_FILE = ".lock"


def score(model: Model, choice: Choice, options: Options) -> dict[str, Any]:
    """Scores the photos of a list that have no scores yet, and summarises all of them.

    Writes shards, see `scored_shards`. Without a `part` also writes their checksums, `summary.json`
    and `report.html`, and prints the summary.

    Returns:
      The summary, see `share_summary.summarise`; with a `part`, of this part.

    Raises:
      UserError: the list is not usable; the folder has results of something else; another run is at
        work there; the model gives NaN; a photo cannot be read (`strict`).
      RuntimeError: something was compiled while photos were scored.
    """
    folder = pathlib.Path(options.out)
    names = classes(model.description, choice.rule)
    photo_list = listing.count(options.list, options.column)
    facts = _facts(model, choice, options, photo_list)
    total = -(-photo_list.rows // options.rows_per_shard)
    shards = Shards(folder, total, names, facts)
    first, step = options.part or (0, 1)
    mine = range(first, total, step)
    with _working(folder, options.part is not None):
        if not (folder / RUN_FILE).exists() and any(folder.glob("part-*.parquet")):
            raise UserError(f"{folder}: has shards but no {RUN_FILE}; choose another --out")
        agree(folder / RUN_FILE, facts, "its shards have", folder)
        missing = _missing(shards, mine)
        compiled = 0
        if missing:
            compiled = score_shards(model, choice, options, photo_list, shards, mine, missing)
        summary = share_summary.summarise(
            [shards.path(number) for number in mine], names, model.description, choice
        )
        summary["compilations_after_warm_up"] = compiled
        list_report.show(summary)
        if options.part is None:
            shards.seal()
            list_report.write(folder, summary, facts)
        else:
            say(
                f"part {first}/{step}: its {len(mine)} of {total} shards are done; when all parts "
                "are, the same command without --shard writes the summary"
            )
    return summary


def _facts(model: Model, choice: Choice, options: Options, photo_list: PhotoList) -> dict[str, Any]:
    """JSON values that the shards are made from; nothing else changes their bytes."""
    described = model.description.to_json()
    if calibration := described.pop("calibration", None):
        described["calibration"] = hashlib.sha256(json.dumps(calibration).encode()).hexdigest()
    facts = {
        "vit_sentiment": vit_sentiment.__version__,
        "list_rows": photo_list.rows,
        "list_sha256": photo_list.sha256,
        "images": options.images,
        "model_id": model.model_id,
        **{f"model.{name}": value for name, value in described.items()},
        "binary": choice.rule.binary,
        "threshold": choice.rule.threshold,
        "prior": choice.prior,
        "features": options.features,
        "batch_size": options.batch_size,
        "rows_per_shard": options.rows_per_shard,
    }
    return json.loads(json.dumps(facts))  # Tuples become lists, as in the file.


@contextlib.contextmanager
def _working(folder: pathlib.Path, shared: bool) -> Iterator[None]:
    """Keeps runs out of the folder that would be in the way: parts do with parts.

    Who is alone removes what killed runs left half written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / _LOCK_FILE, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        else:
            alone = True
            for unfinished in itertools.chain(*map(folder.glob, (".part-*", f".{RUN_FILE}.*"))):
                unfinished.unlink()
        if shared:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                alone = True
            except BlockingIOError:
                alone = False
        if not alone:
            raise UserError(f"{folder}: another run is writing there; wait until it has ended")
        yield


def _missing(shards: Shards, mine: Sequence[int]) -> list[int]:
    there = [number for number in mine if shards.path(number).exists()]
    if not there:
        return list(mine)
    done = set()
    with progress("verify", len(there), "shards") as tick:
        for number, whole in zip(there, shards.whole(there), strict=True):
            if whole:
                done.add(number)
            else:
                say(f"{shards.path(number)}: damaged; it is made again")
            tick()
    say(f"{shards.folder}: {len(done)} of {len(mine)} shards were done before")
    return [number for number in mine if number not in done]
