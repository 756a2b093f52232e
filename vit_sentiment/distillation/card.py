"""The card of a dataset: README.md in its folder, made from facts, in the style of the HF hub."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from input_pipeline.records import CLASSES
from vit_sentiment.runtime import files

FILE = "README.md"
FACTS_FILE = "card.json"

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_LARGEST = "1M<n<10M"

_LIMITS = """\
- What the author of a tweet felt, what the text says, what a photo shows and what it does to a
  viewer are four things. The labels are of the second; a model that learns them from photos learns
  what photos go with such texts.
- The labels are a text model's, with its errors, and are not checked by a person. `human_label`,
  where it is not -1, is a person's, and is for evaluation alone.
- Photos show people who were not asked, minors among them. Do not use this to find, recognise or
  judge a person.
- Tweets are what some people posted at some time in some languages; nothing here is a fair sample
  of people or places.
- Photos and tweets belong to their authors (hence `license: other`). What may be passed on are ids:
  `python -m vit_sentiment.distill ids` and `rehydrate`."""


def card(facts: Mapping[str, Any]) -> str:
    """Markdown with a YAML head. Sections whose facts are missing are left out.

    Args:
      facts: JSON values.
        `splits`: split to the number of records of each class and, as `human_label`, of those with
        a human label.
        `languages`: codes. `date`, `commit`, `vit_sentiment`: of the run. `teacher`, `rules`,
        `writing`, `packages`: names to values. `funnel`, `duplicates`: names to counts.
        `parted_tweets`: how many tweets are in more than one split.
        `removals`: date, tweets and photos of each purge.
    """
    sections = [
        _head(facts),
        "# Photos of tweets under a text teacher's labels\n\nEach record is a photo. It carries "
        "what a text model made of the tweet that it was posted with: probabilities of "
        f"{', '.join(CLASSES)}, and a label. Texts are not here.",
        _how(facts),
        _counts("## From tweets to records", facts.get("funnel", {})),
        _splits(facts["splits"], facts.get("parted_tweets")),
        _counts("## Duplicates and leaks", facts.get("duplicates", {})),
        "## Known limits\n\n" + _LIMITS,
        _removals(facts.get("removals", [])),
        "## How to load\n\n```sh\npython -m vit_sentiment.train --config=configs/tweets.py "
        "--config.data.train=FOLDER --workdir=runs/mine\n```\n\nor, as any TFDS dataset:\n\n"
        "```python\nimport tensorflow_datasets as tfds\n\n"
        'photos = tfds.builder_from_directory("FOLDER").as_data_source("train")\n```',
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def write(folder: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Writes the card, and the facts that it is made from."""
    files.write_json(folder / FACTS_FILE, dict(facts))
    files.write_text(folder / FILE, card(facts))


def _head(facts: Mapping[str, Any]) -> str:
    total = sum(sum(split[name] for name in CLASSES) for split in facts["splits"].values())
    size = next((name for limit, name in _SIZES if total < limit), _LARGEST)
    lines = ["---"]
    if facts.get("languages"):
        lines += ["language:", *(f"- {json.dumps(code)}" for code in facts["languages"])]
    lines += ["license: other", "task_categories:", "- image-classification"]
    return "\n".join([*lines, "size_categories:", f"- {size}", "---"])


def _how(facts: Mapping[str, Any]) -> str:
    rows = [(key, facts[key]) for key in ("date", "vit_sentiment", "commit") if facts.get(key)]
    for name in ("teacher", "rules", "writing", "packages"):
        rows += [(f"{name}: {key}", value) for key, value in facts.get(name, {}).items()]
    if not rows:
        return ""
    return "## How it was made\n\n" + _table(("what", "value"), rows)


def _counts(title: str, counts: Mapping[str, int]) -> str:
    return f"{title}\n\n{_table(('what', 'count'), counts.items())}" if counts else ""


def _splits(splits: Mapping[str, Mapping[str, int]], parted: int | None) -> str:
    rows = [
        (name, sum(split[c] for c in CLASSES), *(split[c] for c in CLASSES), split["human_label"])
        for name, split in splits.items()
    ]
    header = ("split", "records", *CLASSES, "with a human label")
    told = {None: "", 0: "No tweet is in two of them."}.get(
        parted, f"{parted or 0:,} tweets have photos in more than one of them."
    )
    return f"## Splits\n\n{_table(header, rows)}\n\n{told}".rstrip()


def _removals(removals: Sequence[Mapping[str, Any]]) -> str:
    text = (
        "## Requests to delete\n\nIds of tweets or photos, one a line, in a file; nothing of them "
        "is left afterwards:\n\n```sh\npython -m vit_sentiment.distill purge FOLDER --ids=FILE\n```"
    )
    rows = [(each["date"], each["tweets"], each["photos"]) for each in removals]
    return f"{text}\n\n{_table(('date', 'tweets', 'photos removed'), rows)}" if rows else text


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        value = ", ".join(map(str, value)) or None
    text = "none" if value is None else str(value)
    return " ".join(text.replace("|", "\\|").split())
