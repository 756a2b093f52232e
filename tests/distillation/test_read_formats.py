"""The same tweets in every format give the same tables."""

import json

import crawls
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import packed

from input_pipeline.problems import Problems
from vit_sentiment.distillation import tables
from vit_sentiment.distillation.tweets import open_photos, read_tweets


def read(path, **options):
    """Reads without any problem."""
    return read_tweets(str(path), Problems("fail"), **options)


def expected_texts():
    return pl.DataFrame([tweet[:4] for tweet in crawls.TWEETS], schema=tables.TWEETS, orient="row")


def photos_of(tweets, root):
    """Ids, tweets and, relative to `root`, paths; URLs; and what the files say."""
    paths = pl.col("path").str.strip_prefix(f"{root}/")
    rows = tweets.photos.select("id", "tweet", paths, "url").rows()
    numbers = tweets.photos.filter(pl.col("path").is_not_null())["number"]
    opened = open_photos("", tweets.photos)
    files = [opened.read(number).decode() for number in numbers]
    return rows, files


def expected_photos(*, by_path, has_path, has_url):
    listed = [(id_, k) for id_, *_, count in crawls.TWEETS for k in range(count)]
    rows = [
        (
            crawls.path(id_, k) if by_path else f"{id_}-{k}.jpg",
            id_,
            crawls.path(id_, k) if has_path else None,
            crawls.url(id_, k) if has_url else None,
        )
        for id_, k in listed
    ]
    return rows, [f"{id_}-{k}.jpg" for id_, k in listed] if has_path else []


@pytest.fixture
def images(tmp_path):
    crawls.write_photos(tmp_path / "photos")
    return tmp_path / "photos"


def test_a_crawl_has_the_texts_and_the_paths(tmp_path, images):
    crawls.write_crawl(tmp_path / "crawl")
    tweets = read(tmp_path / "crawl", images=str(images))
    unknown = {"lang": pl.lit(None, pl.String), "referenced": pl.lit(None, pl.Boolean)}
    assert tweets.texts.equals(expected_texts().with_columns(**unknown))
    expected = expected_photos(by_path=True, has_path=True, has_url=False)
    assert photos_of(tweets, images) == expected


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("form", [crawls.stream, crawls.pages])
def test_what_the_api_sends_has_all(tmp_path, images, form, packing):
    file = tmp_path / f"tweets.jsonl{packing}"
    file.write_bytes(packed(crawls.lines(form()))[packing])
    for has_path in (False, True):
        tweets = read(file, images=str(images) if has_path else None)
        assert tweets.texts.equals(expected_texts())
        expected = expected_photos(by_path=False, has_path=has_path, has_url=True)
        assert photos_of(tweets, images) == expected
    assert tweets.counts == {"tweets read": 5, "photos listed": 8, "photos with a text": 8}


def test_photos_of_the_api_lie_in_images_beside_it_too(tmp_path):
    crawls.write_photos(tmp_path / "images")
    (tmp_path / "tweets.json").write_bytes(crawls.lines(crawls.stream()))
    expected = expected_photos(by_path=False, has_path=True, has_url=True)
    assert photos_of(read(tmp_path / "tweets.json"), tmp_path / "images") == expected


def test_files_of_a_folder_are_read_sorted_by_name(tmp_path):
    lines = list(crawls.stream())
    folder = tmp_path / "crawl"
    folder.mkdir()
    parts = {"b.jsonl": lines[1:3], "c.ndjson.gz": lines[3:], "a.json.zst": lines[:1], "0.json": []}
    for name, part in parts.items():
        packing = name[name.rindex(".") :]
        data = packed(crawls.lines(part))
        (folder / name).write_bytes(data.get(packing, data[""]))
    (folder / ".hidden.csv").write_text("")
    tweets = read(folder)
    assert tweets.texts.equals(expected_texts())
    wheres = [where.rsplit("/", 1)[1] for where in tweets.photos["where"]]
    assert wheres == 2 * ["a.json.zst:1"] + ["b.jsonl:1", "c.ndjson.gz:1"] + 4 * ["c.ndjson.gz:2"]


def write_table(frame, path):
    """Writes lists as JSON where the format has no lists."""
    kind, *packing = path.suffixes
    if kind == ".parquet":
        frame.write_parquet(path)
        return
    if kind == ".jsonl":
        data = crawls.lines(frame.to_dicts())
    else:
        as_json = [
            pl.Series(lists.name, [json.dumps(images.to_list()) for images in lists])
            for lists in frame.select(pl.col(pl.List(pl.String)))
        ]
        frame = frame.with_columns(as_json)
        data = frame.write_csv(separator="\t" if kind == ".tsv" else ",").encode()
    path.write_bytes(packed(data)["".join(packing)])


NAMES = ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.csv.gz", "a.tsv.zst", "a.jsonl.zst"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_path", [True, False], ids=["paths", "urls"])
def test_tables_have_all(tmp_path, images, name, by_path):
    frame = crawls.table(crawls.path if by_path else crawls.url)
    python = frame.with_columns(images=pl.Series([str(i.to_list()) for i in frame["images"]]))
    forms = (frame, crawls.joined(frame, "|"), crawls.joined(frame, " ; "), python)
    expected = expected_photos(by_path=by_path, has_path=by_path, has_url=not by_path)
    for form in (*forms, crawls.row_a_photo(frame)):
        write_table(form, tmp_path / name)
        tweets = read(tmp_path / name, images=str(images))
        assert tweets.texts.equals(expected_texts())
        assert photos_of(tweets, images) == expected


@pytest.mark.parametrize("name", NAMES)
def test_columns_of_other_names_are_those_of_the_flag(tmp_path, name):
    crawls.write_photos(tmp_path)
    columns = {"id": "tweet_id", "text": "body", "images": "media", "lang": "Sprache"}
    frame = crawls.table(crawls.path).rename(columns)
    if name.endswith("parquet"):  # Integers lose their leading zeros before anybody reads them.
        integers = pl.col("tweet_id").str.to_integer(dtype=pl.UInt64)
        frame = frame.filter(~pl.col("tweet_id").str.starts_with("0")).with_columns(integers)
    write_table(frame, tmp_path / name)
    tweets = read(tmp_path / name, columns=columns)
    texts = expected_texts()
    if name.endswith("parquet"):
        texts = texts.filter(~pl.col("tweet").str.starts_with("0"))
    assert tweets.texts.equals(texts)
    expected = expected_photos(by_path=True, has_path=True, has_url=False)
    assert photos_of(tweets, tmp_path) == expected


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
WORDS = st.text("abc12/. ü", min_size=1, max_size=6).filter(lambda word: word.strip() == word)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text("0123456789", min_size=1, max_size=20), TEXT, st.lists(WORDS, max_size=3)
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda row: row[0],
    )
)
def test_any_tweets_are_the_same_in_every_format(tmp_path_factory, rows):
    rows = [
        (id_, text, [f"https://x.example/{n}/{k}/{w}" for k, w in enumerate(words)])
        for n, (id_, text, words) in enumerate(rows)
    ]
    rows.append(("end", "so that there is a photo", ["https://x.example/z.jpg"]))
    schema = {"id": pl.String, "text": pl.String, "images": pl.List(pl.String)}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    folder = tmp_path_factory.getbasetemp()
    for name in ("written.csv", "written.jsonl", "written.parquet"):
        write_table(frame, folder / name)
        tweets = read(folder / name)
        assert tweets.texts.select("tweet", "text").rows() == [row[:2] for row in rows]
        found = tweets.photos.select("id", "tweet", "url").rows()
        assert found == [
            (f"{id_}-{k}.jpg", id_, url) for id_, _, urls in rows for k, url in enumerate(urls)
        ]
