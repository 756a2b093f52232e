"""What the cards of datasets share, and the card of a dataset that `input_pipeline.build` wrote."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from vit_sentiment.reporting import markdown
from vit_sentiment.runtime import files

FILE = "README.md"
FACTS_FILE = "card.json"
"""Beside the card: the facts that it is made from, so that it can be made again."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_LARGEST = "1M<n<10M"

_LIMITS = """\
- A label says what somebody, or a text model, found in a photo or beside it; not what the people in
  it feel, and not what its author felt. Do not use the photos to find, recognise or judge a person.
- Photos belong to their authors (hence `license: other`), and this folder says nothing of their
  terms. Photos and texts of tweets may not be passed on; ids may.
- What is in it is what was in its source; nothing makes it a fair sample of people or places."""
_DRAWN = """\
- Everything is drawn by a program: there is no person and no real tweet in it. What a model reaches
  here says nothing of real photos."""


def write(folder: pathlib.Path, facts: Mapping[str, Any], card: Callable[..., str]) -> None:
    """Writes the card that `card` makes of the facts, and the facts (JSON values)."""
    files.write_json(folder / FACTS_FILE, dict(facts))
    files.write_text(folder / FILE, card(facts))


def head(records: int, facts: Mapping[str, Any]) -> str:
    """The YAML head; `facts` may have `languages`, codes, and `license`."""
    values = {
        "language": facts.get("languages"),
        "license": facts.get("license", "other"),
        "task_categories": ["image-classification"],
        "size_categories": [next((name for most, name in _SIZES if records < most), _LARGEST)],
    }
    return markdown.front_matter(values)


def loading(*lines: str) -> str:
    """How to load it; `lines` are the command that trains on it."""
    return markdown.section(
        "How to load",
        markdown.commands(*lines),
        "or, as any TFDS dataset:",
        "```python\nimport tensorflow_datasets as tfds\n\n"
        'photos = tfds.builder_from_directory("FOLDER").as_data_source("train")\n```',
    )


def built(facts: Mapping[str, Any]) -> str:
    """The card of a dataset as `input_pipeline.build` writes it.

    Args:
      facts: `title`; `about`: what it is; `drawn`: whether no photo is real; `made`: names to
        values; `splits`: split to the records, groups and human and teacher's labels of each class.
    """
    splits, drawn = facts["splits"], facts["drawn"]
    license_ = {"license": "mit"} if drawn else {}
    rows = []
    for split, counts in splits.items():
        for kind in ("human_label", "teacher_label"):
            if any(counts[kind].values()):
                numbers = [counts["records"], counts["groups"], *counts[kind].values()]
                rows.append([split, kind.replace("_", " "), *numbers])
    classes = next(iter(splits.values()))["human_label"]
    header = ["split", "labels", "records", "groups", *classes]
    label = "human_label" if any(row[1] == "human label" for row in rows) else "teacher_label"
    sections = [
        facts["about"],
        markdown.section("How it was made", markdown.table(("what", "value"), facts["made"])),
        markdown.section(
            "Splits",
            markdown.table(header, rows),
            "A group is what must not be parted between splits, as the photos of a tweet.",
        ),
        markdown.section("Known limits", _DRAWN if drawn else _LIMITS),
        markdown.section(
            "Requests to delete",
            ""
            if drawn
            else "Take the photos out of the source and build it again; then train again what was "
            "trained on it, since a model may keep traces of its photos.",
        ),
        loading(
            "python -m vit_sentiment.train --config=configs/tweets.py --workdir=runs/mine \\",
            f"    --config.data.train=FOLDER --config.data.label={label}",
        ),
    ]
    total = sum(counts["records"] for counts in splits.values())
    return markdown.document(head(total, {**facts, **license_}), facts["title"], sections)
