"""The same five tweets in every form that `read_tweets` knows."""

import json

import polars as pl

TWEETS = [
    ("1510000000000000001", "love, it", "en", False, 2),
    ("1510000000000000002", 'a "table"\nof 😀', "de", True, 1),
    ("0510000000000000003", "no photo", "en", False, 0),
    ("1510000000000000004", "grüße", "en", False, 1),
    ("1510000000000000005", "same | text; as, this\t", "en", False, 4),
]
"""Id, text, language, whether it refers to another, number of photos."""


def path(id_, k):
    return f"{id_[:5]}/{id_}-{k}.jpg"


def url(id_, k):
    return f"https://pbs.example/media/{id_}_{k}.jpg?a=1;b=2"


def write_photos(folder):
    """A file for each photo, of which the bytes are its name."""
    for id_, *_, count in TWEETS:
        for k in range(count):
            file = folder / path(id_, k)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(file.name)


def write_crawl(folder):
    folder.mkdir(exist_ok=True)
    texts = pl.DataFrame([row[:2] for row in TWEETS], schema=["id", "text"], orient="row")
    texts.write_csv(folder / "raw_tweets_text.csv")
    listed = [(id_, path(id_, k)) for id_, *_, count in TWEETS for k in range(count)]
    pl.DataFrame(listed, schema=["id_tweet", "path"], orient="row").write_csv(
        folder / "all_imgs.csv"
    )


def twitter(id_, text, lang, referenced, count):
    """(`data`, `includes.media`) of a tweet; the media are not in the order of the keys."""
    keys = [f"3_{id_}{k}" for k in range(count)]
    data = {"id": id_, "text": text, "lang": lang, "edit_history_tweet_ids": [id_]}
    if count:
        data["attachments"] = {"media_keys": keys}
    if referenced:
        data["referenced_tweets"] = [{"type": "quoted", "id": "9"}]
    media = [{"media_key": key, "type": "photo", "url": url(id_, k)} for k, key in enumerate(keys)]
    return data, media[::-1]


def stream():
    """The lines of a stream: a tweet each."""
    for tweet in TWEETS:
        data, media = twitter(*tweet)
        quoted = {"id": "9", "text": "of somebody else", "attachments": {"media_keys": ["3_9"]}}
        yield {"data": data, "includes": {"media": media, "tweets": [quoted]}}


def pages():
    """The lines of a search: two pages, and one that is empty."""
    for part in (TWEETS[:2], TWEETS[2:]):
        data, media = zip(*(twitter(*tweet) for tweet in part), strict=True)
        includes = {"media": [m for several in media for m in several]}
        yield {"data": data, "includes": includes, "meta": {"result_count": len(data)}}
    yield {"meta": {"result_count": 0}}


def lines(objects):
    return "".join(json.dumps(value) + "\n" for value in objects).encode()


def table(name):
    """Rows `id,text,images,lang,referenced`; `images` is a list of what `name` (k) gives."""
    columns = ("id", "text", "lang", "referenced", "images")
    rows = [(*tweet, [name(tweet[0], k) for k in range(count)]) for *tweet, count in TWEETS]
    return pl.DataFrame(rows, schema=columns, orient="row")


def joined(frame, separator):
    """The same with the images of a row as one text."""
    return frame.with_columns(pl.col("images").list.join(separator))


def row_a_photo(frame):
    """The same with a row for each photo."""
    rows = [(*row, image) for *row, images in frame.rows() for image in images or [None]]
    return pl.DataFrame(rows, schema=dict(frame.schema) | {"images": pl.String}, orient="row")
