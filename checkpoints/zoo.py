"""Lists the public checkpoints and brings them to this machine.

  python -m checkpoints.zoo
  python -m checkpoints.zoo imagenet21k/ViT-B_32 ViT_B32

Without names it prints every release: architecture, image size, whether it is here, who names its
URL. With names it fetches these, if they are not here, and prints their paths, one a line.
--published prints the 12 models of the original: input range, training set, published accuracy,
source. --verify hashes all that is here and compares with what was recorded at first use.

Files are kept in $VIT_SENTIMENT_CACHE, else in vit_sentiment/weights of the user's cache folder.
--json, --published and --verify take names as well, and mean all without.

Exit code 1 also means that a download failed, or that --verify found a file that has changed.
"""

import dataclasses
import json
import sys

from absl import flags

from checkpoints import transfer
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

FOLDER = flags.DEFINE_string(
    "folder", None, "Of files dropped by hand under their release names, looked into first."
)
BASE_URL = flags.DEFINE_string(
    "base_url", None, "Of a mirror laid out as the cache is; else $VIT_SENTIMENT_BASE_URL."
)
TIMEOUT = flags.DEFINE_float(
    "timeout",
    transfer.TIMEOUT_SECONDS,
    "Seconds without a byte after which a download is tried again.",
    lower_bound=0.1,
)
VERIFY = flags.DEFINE_bool("verify", False, "Hash what is here, fetch nothing.")
JSON = flags.DEFINE_bool("json", False, "Print the catalogue as JSON, fetch nothing.")
PUBLISHED = flags.DEFINE_bool(
    "published", False, "Of the original's models what was published; with --json all of it."
)

GROUPS = {
    "Listing": (JSON, PUBLISHED, VERIFY),
    "Downloads": (FOLDER, BASE_URL, TIMEOUT),
}


def main(*names: str) -> None:
    from checkpoints import releases

    if VERIFY.value and (JSON.value or PUBLISHED.value):
        other = "json" if JSON.value else "published"
        raise UserError(f"--verify and --{other} do not go together")
    if PUBLISHED.value:
        _print_published(names)
        return
    # All names before the first download.
    chosen = [releases.find(name) for name in names] or releases.RELEASES
    if JSON.value:
        _print_json(chosen)
    elif VERIFY.value:
        _verify(chosen)
    elif names:
        _fetch(chosen)
    else:
        _print_table(chosen)


def _fetch(chosen) -> None:
    from checkpoints import download

    for release in chosen:
        path = download.fetch(
            release, folder=FOLDER.value, base_url=BASE_URL.value, timeout=TIMEOUT.value
        )
        print(path, flush=True)


def _verify(chosen) -> None:
    from checkpoints import download
    from vit_sentiment.runtime.progress import progress, say

    paths = [path for r in chosen if (path := download.locate(r, FOLDER.value))]
    bad = 0
    with progress("verify", len(paths), "files") as tick:
        for path in paths:
            try:
                print(f"{download.verify(path)}  {path}")
            except UserError as error:
                bad += 1
                say(str(error))
            tick()
    if bad:
        raise UserError(f"{bad} of {len(paths)} files are not what they were or should be")


def _print_json(chosen) -> None:
    from checkpoints import download

    entries = []
    for release in chosen:
        path = download.locate(release, FOLDER.value)
        entries.append(dataclasses.asdict(release) | {"path": path and str(path)})
    print(json.dumps(entries, indent=2))


def _print_published(names) -> None:
    from checkpoints import published, releases
    from vit_sentiment.evaluation.published import figures

    if unknown := [name for name in names if name not in published.MODELS]:
        known = ", ".join(published.MODELS)
        raise UserError(f"{unknown[0]}: not a model of the original; there are: {known}")
    entries = [
        dataclasses.asdict(published.MODELS[name])
        | {"url": releases.find(name).url}
        | {"figures": [dataclasses.asdict(f) for f in figures() if f.system == name]}
        for name in names or published.MODELS
    ]
    if JSON.value:
        print(json.dumps(entries, indent=2))
    else:
        _print_models(entries)


_TWITTER_1 = ("5agree", "4agree", "3agree")


def _print_models(entries) -> None:
    from vit_sentiment.reporting.terminal import print_table
    from vit_sentiment.runtime.progress import say

    rows: list[list[object]] = []
    sources: list[str] = []
    for entry in entries:
        cells = {f["benchmark"]: f for f in entry["figures"][::-1] if f["metric"] == "accuracy"}
        told = [cells[name] for name in _TWITTER_1 if name in cells]
        sources = list(dict.fromkeys([*sources, *(cell["source"] for cell in told)]))
        marks = dict.fromkeys(f"[{sources.index(cell['source']) + 1}]" for cell in told)
        low, high = entry["input_range"]
        rows.append(
            [
                *(entry["name"], f"ViT-{entry['variant']}", entry["image_size"]),
                *(f"[{low:g}, {high:g}]", entry["training_set"]),
                *(str(cells[name]["percent"]) if name in cells else None for name in _TWITTER_1),
                *(" ".join(marks) or None, "downloads" if entry["url"] else "NAME=FILE"),
            ]
        )
    header = ["name", "architecture", "image", "input range", "training set"]
    print_table([*header, *(f"{name}, %" for name in _TWITTER_1), "source", "weights"], rows)
    for number, source in enumerate(sources, 1):
        print(f"[{number}] {source}")
    say("accuracy, not trained on the benchmark; all figures: --published --json")


def _print_table(chosen) -> None:
    from rich.console import Console
    from rich.table import Table

    from checkpoints import download
    from vit_sentiment.runtime.progress import say

    table = Table("name", "architecture", "image", "where", "source", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    cache = download.cache_folder()
    for release in chosen:
        if path := download.locate(release, FOLDER.value):
            where = "cached" if path.is_relative_to(cache) else "in --folder"
        else:
            where = "absent" if release.url else "no public file"
        table.add_row(
            release.name, release.architecture, str(release.image_size), where, release.source
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    say(f"cache: {cache}")


if __name__ == "__main__":
    startup.run(main, __doc__, arguments=("NAME...",), groups=GROUPS)
