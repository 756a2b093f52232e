"""The card of a distilled dataset: README.md in its folder, made from facts."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from input_pipeline.records import CLASSES
from vit_sentiment.reporting import dataset_card, markdown
from vit_sentiment.reporting.dataset_card import FACTS_FILE as FACTS_FILE

_LIMITS = """\
- What the author of a tweet felt, what the text says, what a photo shows and what it does to a
  viewer are four things. The labels are of the second; a model that learns them from photos learns
  what photos go with such texts.
- The labels are a text model's, with its errors, and are not checked by a person. `human_label`,
  where it is not -1, is a person's, and is for evaluation alone.
- Photos show people who were not asked, minors among them. Do not use this to find, recognise or
  judge a person.
- Tweets are what some people posted at some time in some languages, through what the platform's
  stream gave; nothing here is a fair sample of people or places. Irony, slang, dialects and the
  words that groups use for themselves are where a text model errs, and it errs for whole groups.
- Filters, thresholds and balancing change which tweets are left: shares of classes here are not
  shares of what people post.
- Photos and tweets belong to their authors (hence `license: other`). Ids may be passed on, as far
  as the platform's terms of the day allow; texts and media may not. `python -m
  vit_sentiment.distill ids` writes the ids, and `python -m vit_sentiment.distill rehydrate` makes
  the dataset of them where the photos are."""


def card(facts: Mapping[str, Any]) -> str:
    """Markdown with a YAML head. Sections whose facts are missing are left out.

    Args:
      facts: JSON values.
        `splits`: split to the number of records of each class and, as `human_label`, of those with
        a human label.
        `languages`: codes. `date`, `commit`, `vit_sentiment`: of the run. `teacher`, `rules`,
        `writing`, `packages`: names to values. `funnel`, `duplicates`: names to counts.
        `parted_tweets`: how many tweets are in more than one split. `source`: of the tweets.
        `teacher_against_human`: `records` with a human label, and how many of them `agree`.
        `removals`: date, tweets and photos of each purge.
    """
    total = sum(sum(split[name] for name in CLASSES) for split in facts["splits"].values())
    sections = [
        "Each record is a photo. It carries what a text model made of the tweet that it was posted "
        f"with: probabilities of {', '.join(CLASSES)}, and a label. Texts are not here.",
        _how(facts),
        _counts("From tweets to records", facts.get("funnel", {})),
        _splits(facts["splits"], facts.get("parted_tweets")),
        _teacher(facts.get("teacher_against_human", {})),
        _counts("Duplicates and leaks", facts.get("duplicates", {})),
        markdown.section("Known limits", _LIMITS),
        _removals(facts.get("removals", [])),
        dataset_card.loading(
            "python -m vit_sentiment.train --config=configs/tweets.py "
            "--config.data.train=FOLDER --workdir=runs/mine"
        ),
    ]
    title = "Photos of tweets under a text teacher's labels"
    return markdown.document(dataset_card.head(total, facts), title, sections)


def write(folder: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Writes the card, and the facts that it is made from."""
    dataset_card.write(folder, facts, card)


def _how(facts: Mapping[str, Any]) -> str:
    names = ("source", "date", "vit_sentiment", "commit")
    rows = [(key, facts[key]) for key in names if facts.get(key)]
    for name in ("teacher", "rules", "writing", "packages"):
        rows += [(f"{name}: {key}", value) for key, value in facts.get(name, {}).items()]
    return markdown.section("How it was made", markdown.table(("what", "value"), rows))


def _counts(title: str, counts: Mapping[str, int]) -> str:
    return markdown.section(title, markdown.table(("what", "count"), counts.items()))


def _splits(splits: Mapping[str, Mapping[str, int]], parted: int | None) -> str:
    rows = [
        (name, sum(split[c] for c in CLASSES), *(split[c] for c in CLASSES), split["human_label"])
        for name, split in splits.items()
    ]
    header = ("split", "records", *CLASSES, "with a human label")
    totals = {name: sum(split[name] for split in splits.values()) for name in CLASSES}
    total = sum(totals.values())
    shares = ", ".join(f"{name} {count / total:.1%}" for name, count in totals.items() if total)
    told = {None: "", 0: "No tweet is in two of them."}.get(
        parted, f"{parted or 0:,} tweets have photos in more than one of them."
    )
    return markdown.section(
        "Splits", markdown.table(header, rows), shares and f"Shares of the labels: {shares}.", told
    )


def _teacher(found: Mapping[str, int]) -> str:
    """How good the labels are, where there are human ones to compare them with."""
    if not found.get("records"):
        return ""
    share = found["agree"] / found["records"]
    text = (
        f"Of {found['records']:,} records with a human label the teacher's is the same in "
        f"{found['agree']:,} ({share:.1%}). Human labels may be of the photo, of the text or of "
        "both: the difference is the teacher's error and what text and photo do not share."
    )
    return markdown.section("How good the labels are", text)


def _removals(removals: Sequence[Mapping[str, Any]]) -> str:
    text = (
        "Ids of tweets or photos, one a line, in a file; nothing of them is left afterwards in "
        "this folder. Models that were trained on it before are not changed by it."
    )
    rows = [(each["date"], each["tweets"], each["photos"]) for each in removals]
    return markdown.section(
        "Requests to delete",
        text,
        markdown.commands("python -m vit_sentiment.distill purge FOLDER --ids=FILE"),
        markdown.table(("date", "tweets", "photos removed"), rows),
    )
