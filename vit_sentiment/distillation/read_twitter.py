"""Reading what the Twitter API v2 sends, kept as JSON lines.

Fields are those of the objects `Tweet` and `Media` of its data dictionary.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from input_pipeline.records import UNKNOWN
from input_pipeline.text_files import is_text, read_json_lines
from vit_sentiment.distillation.listing import PHOTO_ROWS, TEXT_ROWS, Listed, Lost, Rows, is_url


def read_twitter(files: Sequence[pathlib.Path], lost: Lost) -> Listed:
    """Reads files in order; a line is one tweet of a stream, or a page of a search.

    `data` is a tweet or a list of them; the photos of a tweet are those of `includes.media` with
    type `photo` that its `attachments.media_keys` name, in that order. The tweets in
    `includes.tweets`, which `data` refers to, are not read. `referenced` is known where any tweet
    has `referenced_tweets`: the API leaves the field out where it would be empty, but also where
    it was not asked for. Lines and tweets that are not of that form go to `lost`.

    Raises:
      UserError: a file cannot be read.
    """
    texts, photos = Rows(TEXT_ROWS), Rows(PHOTO_ROWS)
    for file in files:
        for where, line in read_json_lines(file, lost.problems):
            data = line.get("data")
            if data is None:
                if not _is_empty_page(line):
                    lost.problems.add(where, "", f"no 'data'; found: {', '.join(map(ascii, line))}")
                continue
            includes = _media(line.get("includes"))
            for tweet in data if isinstance(data, list) else [data]:
                _read_tweet(where, tweet, includes, texts, photos, lost)
    found = texts.frame()
    if not found["referenced"].any():
        found = found.with_columns(referenced=pl.lit(None, pl.Boolean))
    return Listed(found, photos.frame(), named_by_tweet=True)


def _is_empty_page(line: Mapping[str, Any]) -> bool:
    meta = line.get("meta")
    return isinstance(meta, dict) and meta.get("result_count") == "0"


def _media(includes: Any) -> dict[str, dict[str, Any]]:
    """The media of a line by their key."""
    media = includes.get("media") if isinstance(includes, dict) else None
    if not isinstance(media, list):
        return {}
    return {m["media_key"]: m for m in media if isinstance(m, dict) and _is_key(m.get("media_key"))}


def _is_key(value: Any) -> bool:
    return isinstance(value, str)


def _read_tweet(
    where: str,
    tweet: Any,
    includes: Mapping[str, dict[str, Any]],
    texts: Rows,
    photos: Rows,
    lost: Lost,
) -> None:
    if not isinstance(tweet, dict):
        lost.problems.add(where, "", f"expected a tweet, found: {str(tweet)[:40]!a}")
        return
    id_, text, lang = (_scalar(tweet.get(name)) for name in ("id", "text", "lang"))
    if not is_text(id_ + text + lang):
        lost.problems.add(where, ascii(id_)[1:-1], "not UTF-8")
        return
    row = len(texts)
    texts.add(where, id_, text, lang or None, bool(tweet.get("referenced_tweets")))
    attachments = tweet.get("attachments")
    keys = attachments.get("media_keys") if isinstance(attachments, dict) else None
    for key in keys if isinstance(keys, list) else []:
        media = includes.get(key) if _is_key(key) else None
        if media is None:
            problem = f"media {key!a} is not in includes.media"
            lost.add("media not described", where, id_, problem)
        elif media.get("type") == "photo":
            url = media.get("url")
            url = url if isinstance(url, str) and is_url(url) and is_text(url) else None
            photos.add(where, row, id_, None, None, url, UNKNOWN)
        else:
            lost.counts["media other than photos"] += 1


def _scalar(value: Any) -> str:
    """The value as text; a number that lost digits shows (see `settle.ROUNDED`)."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, float) else ""
