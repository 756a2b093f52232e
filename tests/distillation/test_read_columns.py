"""Tables of any layout: names of columns, lists of photos, rows that repeat a tweet."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from input_pipeline.problems import Problems
from vit_sentiment.distillation.read_columns import parse_images
from vit_sentiment.distillation.tweets import parse_columns, read_tweets
from vit_sentiment.runtime.errors import UserError


def read(path, text=None, **options):
    if text is not None:
        path.write_text(text)
    problems = Problems("skip")
    return read_tweets(str(path), problems, **options), problems.rows


@pytest.fixture
def file(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_text(name)
    return tmp_path / "list.csv"


def test_columns_are_named():
    text = "id=tweet id, text = body,images=a=b,lang=l,human_label=h,referenced=r"
    assert parse_columns(text) == {
        "id": "tweet id",
        "text": "body",
        "images": "a=b",
        "lang": "l",
        "human_label": "h",
        "referenced": "r",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected id=COLUMN,.*found ''"),
        ("id", "expected id=COLUMN,.*found 'id'"),
        ("id=", "expected id=COLUMN,.*found 'id='"),
        ("id=a,,text=b", "expected id=COLUMN,.*found ''"),
        ("photo=a", "expected one of id, text, images, .*; found 'photo'"),
        ("id=a,id=b", "'id' is given twice"),
    ],
)
def test_columns_of_another_form_are_refused(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_columns(text)
    assert "\n" not in str(error.value)


NAMES = st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"]), min_size=1)
KEYS = ["id", "text", "images", "lang", "human_label", "referenced"]


@given(st.dictionaries(st.sampled_from(KEYS), NAMES.filter(lambda s: s.strip() == s), min_size=1))
def test_what_is_written_for_columns_is_read(columns):
    assert parse_columns(",".join(f"{k}={v}" for k, v in columns.items())) == columns


@given(st.text())
def test_any_text_for_columns_is_understood_or_refused(text):
    try:
        columns = parse_columns(text)
    except UserError:
        return
    assert columns
    assert set(columns) <= set(KEYS)
    assert all(columns.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" a b.jpg ", ["a b.jpg"]),
        ("a.jpg|b.jpg; c.jpg;", ["a.jpg", "b.jpg", "c.jpg"]),
        ("https://x/a;v=1|http://x/b", ["https://x/a;v=1", "http://x/b"]),
        ("https://x/a;v=1; HTTPS://x/b", ["https://x/a;v=1", "HTTPS://x/b"]),
        ('["a|b.jpg", null, "", "c.jpg"]', ["a|b.jpg", "c.jpg"]),
        ("['a.jpg', \"it's.jpg\"]", ["a.jpg", "it's.jpg"]),
        ("[]", []),
        ("[1].jpg", ["[1].jpg"]),
    ],
)
def test_lists_of_photos(text, expected):
    assert parse_images(text) == expected


@pytest.mark.parametrize("text", ["[1, 2]", '["\\ud83d"]', '[["a"]]', '[{"a": 1}]', "[a]"])
def test_other_lists_are_refused(text):
    with pytest.raises(ValueError, match="expected a list of paths or URLs, found: "):
        parse_images(text)


@given(st.text() | st.text("[]'\",| "))
def test_any_text_is_a_list_of_photos_or_refused(text):
    try:
        images = parse_images(text)
    except ValueError:
        assert text.strip().startswith("[")
    else:
        assert all(isinstance(image, str) and image for image in images)


def test_a_row_for_each_photo_is_one_tweet(file):
    text = (
        "id,text,images\n1,x,a.jpg\n2,y,c.jpg\n1,x,b.jpg\n2,y,https://u/\n2,z,d.jpg\n3,w,\n3,w,\n"
    )
    tweets, problems = read(file, text + "1,x,a.jpg\n")
    assert tweets.texts.select("tweet", "text").rows() == [("1", "x"), ("2", "y"), ("3", "w")]
    assert tweets.photos.select("id", "tweet").rows() == [
        ("a.jpg", "1"),
        ("c.jpg", "2"),
        ("b.jpg", "1"),
        ("2-1.jpg", "2"),
    ]
    assert problems == [
        (f"{file}:6", "2", "another text of this tweet; the first is kept"),
        (f"{file}:8", "3", "tweet listed twice; the first is kept"),
        (f"{file}:9", "a.jpg", "photo listed twice"),
    ]
    assert tweets.counts == {
        "tweets read": 3,
        "photos listed": 6,
        "tweets listed twice": 2,
        "photos of rows left out": 1,
        "photos listed twice": 1,
        "photos with a text": 4,
    }


def test_a_url_twice_in_a_tweet_is_one_photo_but_not_in_two_tweets(file):
    tweets, problems = read(file, "id,text,images\n1,x,https://u|https://u\n2,y,https://u\n")
    assert tweets.photos["id"].to_list() == ["1-0.jpg", "2-0.jpg"]
    assert problems == [(f"{file}:2", "1-1.jpg", "photo listed twice")]


def test_paths_are_relative_to_the_file_or_images_or_absolute(file, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "d.jpg").write_text("d")
    text = f"id,text,images\n1,x,a.jpg|d.jpg|{elsewhere / 'd.jpg'}\n"
    tweets, problems = read(file, text)
    assert tweets.photos["path"].to_list() == [f"{file.parent}/a.jpg", f"{elsewhere}/d.jpg"]
    assert problems == [(f"{file}:2", "d.jpg", "no such file")]
    tweets, _ = read(file, images=str(elsewhere))
    assert tweets.photos["path"].to_list() == 2 * [f"{elsewhere}/d.jpg"]
    with pytest.raises(UserError, match=r"a\.jpg: expected the folder of the photos"):
        read(file, images=str(tmp_path / "a.jpg"))


def test_further_columns(file):
    text = (
        "id\ttext\timages\thuman_label\treferenced\n1\tx\ta.jpg|b.jpg\tpositive\tFalse\n"
        "2\ty\tc.jpg\tmixed\t[{'type': 'quoted'}]\n3\tz\t[1, 2]\t\t\n"
    )
    tweets, problems = read(file.with_suffix(".tsv"), text)
    assert tweets.photos["human_label"].to_list() == [2, 2, -1]
    assert tweets.texts["referenced"].to_list() == [False, True, False]
    assert tweets.texts["lang"].to_list() == [None, None, None]
    assert [problem[:30] for _, _, problem in problems] == [
        "unknown label 'mixed'; classes",
        "expected a list of paths or UR",
    ]
    assert tweets.counts["lists of photos not understood"] == 1


def test_ids_that_were_numbers_lost_digits(tmp_path):
    frame = pl.DataFrame(
        {"id": [1.2e18, None, 7.0], "text": 3 * ["x"], "images": 3 * ["https://u"]}
    )
    good = pl.DataFrame({"id": ["12e5", "007"], "text": ["x", "y"], "images": 2 * ["https://u"]})
    good.write_parquet(tmp_path / "a.parquet")
    frame.write_parquet(tmp_path / "b.parquet")
    tweets, problems = read(tmp_path)
    assert tweets.texts["tweet"].to_list() == ["12e5", "007"]
    rounded = "id is a rounded number: digits are lost; keep ids as text"
    assert [(where.rsplit("/")[-1], id_, problem) for where, id_, problem in problems] == [
        ("b.parquet: row 2", "", "no id"),
        ("b.parquet: row 1", "1.2e+18", rounded),
        ("b.parquet: row 3", "7.0", rounded),
    ]


def test_a_column_that_is_not_there_is_named_with_what_was_found(file):
    hint = r"say which with --columns=id=COLUMN,text=COLUMN,images=COLUMN,lang=COLUMN$"
    with pytest.raises(UserError, match=rf"no column 'id' for 'id'; found: tweet, body; {hint}"):
        read(file, "tweet,body\n1,x\n")
    with pytest.raises(UserError, match=r"no column 'l' for 'lang'; found: id, text, images"):
        read(file, "id,text,images\n1,x,a.jpg\n", columns={"lang": "l"})
    with pytest.raises(UserError, match=r"all_imgs\.csv: no such file; .*--columns=images=COLUMN"):
        read(file, "id,text,photo\n1,x,a.jpg\n")
    tweets, _ = read(file, columns={"images": "photo"})
    assert tweets.photos["id"].to_list() == ["a.jpg"]
    with pytest.raises(UserError, match=r"no photo is listed; say which column.*images=COLUMN"):
        read(file.with_suffix(".jsonl"), '{"id": "1", "text": "x"}\n')


def test_json_lines_of_which_none_can_be_read_are_told(tmp_path):
    (tmp_path / "a.jsonl").write_text("{}\n?\n")
    (tmp_path / "b.jsonl").write_text('{"id": "1", "text": "x", "images": ["https://u"]}\n')
    tweets, problems = read(tmp_path)
    assert len(tweets.photos) == 1
    assert sorted(problem[:25] for _, _, problem in problems) == [
        "an object without keys",
        "not JSON: Expecting value",
    ]
