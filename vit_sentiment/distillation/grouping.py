"""What a split must not part: tweets that share a cluster of photos or, normalised, their text."""

import html
import re
import unicodedata

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_NOT_TEXT = re.compile(r"(?:https?://|www\.|pic\.twitter\.com/)\S+|@\w+")


def normalised(text: str) -> str:
    """A text without case, links, mentions, HTML entities and runs of blanks."""
    text = unicodedata.normalize("NFKC", html.unescape(text))
    return " ".join(_NOT_TEXT.sub(" ", text).casefold().split())


def joined_groups(table: pl.DataFrame, cluster: np.ndarray) -> pl.Series:
    """The group of each row: the first tweet of all that hang together.

    Rows hang together by their tweet, by `cluster` (int64 [N], the number of a row each) and by
    their text, if normalised there is anything left of it.

    Args:
      table: with the columns tweet and text.
    """
    row = pl.col("row")
    texts = {text: normalised(text) for text in table["text"].unique()}
    text = pl.col("text").replace_strict(texts, return_dtype=pl.String)
    first = table.with_columns(row=np.arange(len(table))).select(
        tweet=row.first().over("tweet"),
        text=pl.when(text != "").then(row.first().over(text)).otherwise(row),
    )
    rows = np.arange(len(table))
    ends = np.concatenate([first["tweet"].to_numpy(), first["text"].to_numpy(), cluster])
    links = (np.ones(len(ends), np.bool_), (np.tile(rows, 3), ends))
    graph = coo_array(links, shape=(len(table), len(table)))
    _, component = connected_components(graph, directed=False)
    _, index = np.unique(component, return_index=True)
    return table["tweet"][index[component]].alias("group")
