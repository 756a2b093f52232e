"""What the Twitter API v2 sends, and what may be wrong with it."""

import gzip
import json

import crawls
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline.problems import Problems
from vit_sentiment.distillation.tweets import read_tweets
from vit_sentiment.runtime.errors import UserError


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tweets.jsonl"


def read(file, lines):
    file.write_bytes(lines if isinstance(lines, bytes) else crawls.lines(lines))
    problems = Problems("skip")
    return read_tweets(str(file), problems), problems.rows


def tweet(id_="7", text="a text", media=({"media_key": "m", "type": "photo"},), **data):
    """A line with one tweet; its photo has a URL."""
    media = [{"url": f"https://pbs.example/{id_}.jpg"} | dict(m) for m in media]
    attachments = {"media_keys": [m.get("media_key") for m in media]}
    data = {"id": id_, "text": text, "attachments": attachments} | data
    return {"data": data, "includes": {"media": media}}


def test_ids_are_strings_even_where_the_file_has_numbers(file):
    big = 12345678901234567890123
    tweets, problems = read(file, [tweet(big), tweet(1e22), tweet("007"), tweet(True), tweet(None)])
    assert tweets.texts["tweet"].to_list() == [str(big), "007"]
    assert tweets.photos["id"].to_list() == [f"{big}-0.jpg", "007-0.jpg"]
    assert [(where.rsplit(":")[-1], id_, problem[:7]) for where, id_, problem in problems] == [
        ("4", "", "no id"),
        ("5", "", "no id"),
        ("2", "1e+22", "id is a"),
    ]
    assert tweets.counts["photos of rows left out"] == 3


def test_only_photos_count_and_only_those_of_the_tweet(file):
    media = [
        {"media_key": "v", "type": "video"},
        {"media_key": "b", "type": "photo", "url": "https://b"},
        {"media_key": "g", "type": "animated_gif"},
        {"media_key": "a", "type": "photo", "url": "https://a"},
        {"media_key": "x", "type": "photo", "url": "https://of.another"},
    ]
    attachments = {"media_keys": ["v", "a", "g", "?", "b"]}
    tweets, problems = read(file, [tweet(media=media, attachments=attachments)])
    assert tweets.photos.select("id", "url").rows() == [
        ("7-0.jpg", "https://a"),
        ("7-1.jpg", "https://b"),
    ]
    assert problems == [(f"{file}:1", "7", "media '?' is not in includes.media")]
    assert tweets.counts == {
        "tweets read": 1,
        "photos listed": 2,
        "media other than photos": 2,
        "media not described": 1,
        "photos with a text": 2,
    }


def test_what_refers_to_another_is_unknown_where_no_tweet_does(file):
    quote = tweet("2", referenced_tweets=[{"type": "quoted", "id": "1"}])
    tweets, _ = read(file, [tweet("1"), quote])
    assert tweets.texts["referenced"].to_list() == [False, True]
    tweets, _ = read(file, [tweet("1"), tweet("3", lang="en")])
    assert tweets.texts["referenced"].to_list() == [None, None]
    assert tweets.texts["lang"].to_list() == [None, "en"]


def test_a_tweet_or_a_photo_sent_twice_is_kept_once(file):
    twice = tweet("2", media=2 * [{"media_key": "m", "type": "photo"}])
    tweets, problems = read(file, [tweet("1"), twice, tweet("1", text="another")])
    assert tweets.texts.select("tweet", "text").rows() == [("1", "a text"), ("2", "a text")]
    assert tweets.photos["id"].to_list() == ["1-0.jpg", "2-0.jpg"]
    assert problems == [
        (f"{file}:3", "1", "tweet listed twice; the first is kept"),
        (f"{file}:2", "2-1.jpg", "photo listed twice"),
    ]
    assert tweets.counts["photos of rows left out"] == 1


def test_a_photo_needs_a_url_or_a_file(file, tmp_path):
    none = [{"media_key": "m", "type": "photo", "url": None}]
    (tmp_path / "images" / "12345").mkdir(parents=True)
    (tmp_path / "images" / "12345" / "1234567-0.jpg").write_text("x")
    other = [{"media_key": "m", "type": "photo", "url": "ftp://a"}]
    lines = [tweet("1234567", media=none), tweet("2", media=none), tweet("3", media=other)]
    tweets, problems = read(file, lines)
    assert tweets.photos["id"].to_list() == ["1234567-0.jpg"]
    assert [(id_, problem) for _, id_, problem in problems] == [
        ("2-0.jpg", "no such file"),
        ("3-0.jpg", "no such file"),
    ]


def test_an_id_that_leads_elsewhere_names_no_file(file):
    tweets, problems = read(file, [tweet("../../x"), tweet("1")])
    assert tweets.photos["id"].to_list() == ["1-0.jpg"]
    assert problems == [(f"{file}:1", "../../x", "no file can be named by this tweet's id")]


def test_broken_lines_are_told_with_their_number_and_the_rest_is_read(file):
    good = crawls.lines([tweet("1")])
    lines = [
        good,
        good[:30] + b"\n",
        b"\n",
        b'{"errors": [{"title": "gone"}]}\n',
        b'{"data": "?"}\n',
        crawls.lines([tweet("3", text="")]),
        crawls.lines([tweet("4", text="half \ud83d")]),
        good.replace(b"a text", b"gr\xfc\xdfe"),
        crawls.lines([{"meta": {"result_count": 0}}]),
        b'{"data": {"id": "9", "text": "no photo", "attachments": [1]}, "includes": 0}\n',
    ]
    tweets, problems = read(file, b"".join(lines))
    assert tweets.texts["tweet"].to_list() == ["1", "9"]
    assert [(where.rsplit(":")[-1], problem[:22]) for where, _, problem in problems] == [
        ("2", "not JSON: Unterminated"),
        ("4", "no 'data'; found: 'err"),
        ("5", "expected a tweet, foun"),
        ("7", "not UTF-8"),
        ("8", "not UTF-8"),
        ("6", "no text"),
    ]
    assert tweets.counts["lines not readable"] == 5
    file.write_bytes(b"".join(lines))
    with pytest.raises(UserError, match=r"tweets\.jsonl:2: not JSON: .*--on_error=skip"):
        read_tweets(str(file), Problems("fail"))


def test_of_a_cut_file_what_lies_before_is_used(file):
    packed = gzip.compress(crawls.lines(tweet(str(n), text=f"{n * 7919}") for n in range(9999)))
    tweets, problems = read(file.with_suffix(".jsonl.gz"), packed[:-1000])
    assert 5000 < len(tweets.texts) < 9999
    assert problems[0][0].endswith(f".jsonl.gz:{len(tweets.texts) + 1}")
    assert "cut or damaged" in problems[0][2]
    assert tweets.counts["lines not readable"] == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"data": []}, r"no tweet with an id and a text$"),
        ({"data": {"id": "1"}}, r"no tweet with .*; the first problem: .*jsonl:1: 1: no text$"),
        (tweet(media=()), r"no photo is listed$"),
    ],
)
def test_nothing_to_use_is_an_error(file, line, message):
    with pytest.raises(UserError, match=message):
        read(file, [line])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "media", "media_keys", "x"]), values, max_size=3)
    ),
    max_leaves=6,
)
PARTS = [
    ("data",),
    *[("data", name) for name in ("id", "text", "lang", "attachments", "referenced_tweets")],
    ("data", "attachments", "media_keys"),
    ("data", "attachments", "media_keys", 0),
    ("includes",),
    ("includes", "media"),
    ("includes", "media", 0),
    *[("includes", "media", 0, name) for name in ("media_key", "type", "url")],
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PARTS), JSON)
def test_nothing_in_place_of_a_part_is_fatal(tmp_path_factory, place, value):
    line = json.loads(json.dumps(tweet("1", lang="en")))
    inner = line
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    file = tmp_path_factory.getbasetemp() / "strange.jsonl"
    tweets, problems = read(file, [tweet("2"), line])
    assert tweets.texts["tweet"][0] == "2"
    assert "2-0.jpg" in tweets.photos["id"]
    lost = len(tweets.photos) == 1
    kept_silently = ("data", "attachments"), ("includes", "media", 0, "type"), ("data",)
    if lost and not any(place[: len(silent)] == silent for silent in kept_silently):
        assert problems
