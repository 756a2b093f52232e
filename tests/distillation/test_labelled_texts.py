"""Reading labelled tweets: tables, folders of TweetEval, datasets."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline.problems import Problems
from input_pipeline.sources import open_source
from vit_sentiment.distillation.labelled_texts import Columns, read_labelled
from vit_sentiment.runtime.errors import UserError

MAPPING = "0\tnegative\n1\tneutral\n2\tpositive\n"


def tweeteval(folder, texts, labels, split="test", mapping=MAPPING):
    folder.mkdir(exist_ok=True)
    (folder / f"{split}_text.txt").write_text(texts, newline="")
    (folder / f"{split}_labels.txt").write_text(labels, newline="")
    if mapping is not None:
        (folder / "mapping.txt").write_text(mapping)
    return str(folder)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_a_table(tmp_path, suffix):
    table = pl.DataFrame(
        {
            "id": ["7", "9", "8", "6", "5"],
            "text": ["good, yes", "a\nb", "bad", "so so", "x"],
            "label": ["positive", "1", "Negative", "2.0", " neutral "],
        }
    )
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="," if suffix == "csv" else "\t")
    found = read_labelled(str(path), Problems())
    assert found.ids == table["id"].to_list()
    assert found.texts == table["text"].to_list()
    assert found.labels.tolist() == [2, 1, 0, 2, 1]
    assert (found.label, found.unlabelled) == ("label", 0)


def test_columns_by_other_names_and_no_ids(tmp_path):
    (tmp_path / "t.csv").write_text("tweet,gold\nfine,2\nbad,0\n")
    columns = Columns(text="tweet", label="gold")
    found = read_labelled(str(tmp_path / "t.csv"), Problems(), columns=columns)
    assert (found.ids, found.texts, found.label) == (["1", "2"], ["fine", "bad"], "gold")


def test_unusable_rows_are_problems(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,text,label\n1,fine,2\n2, ,1\n3,bad,3\n4,bad,\n1,again,0\n5,bad,0\n")
    problems = Problems("skip")
    found = read_labelled(str(path), problems)
    assert (found.ids, found.labels.tolist()) == (["1", "5"], [2, 0])
    assert [(where.rsplit(":")[-1], *rest) for where, *rest in problems.rows] == [
        ("3", "2", "no text"),
        ("4", "3", "unknown label '3'; classes: negative, neutral, positive, or 0, 1, 2"),
        ("5", "4", "unknown label ''; classes: negative, neutral, positive, or 0, 1, 2"),
        ("6", "1", "listed twice; the first is kept"),
    ]
    with pytest.raises(UserError, match=r"t\.csv:3: 2: no text; --on_error=skip"):
        read_labelled(str(path), Problems())


def test_a_folder_of_tweeteval(tmp_path):
    tweeteval(tmp_path / "d", "fine\nbad\u2028day\x85\n", "2\n0\n")
    tweeteval(tmp_path / "d", "so so\n", "1\n", split="val")
    found = read_labelled(str(tmp_path / "d"), Problems())
    assert found.texts == ["fine", "bad\u2028day\x85"]
    assert (found.ids, found.labels.tolist()) == (["1", "2"], [2, 0])
    assert found.label == "test_labels.txt"
    assert read_labelled(str(tmp_path / "d"), Problems(), split="val").texts == ["so so"]


def test_its_mapping_says_what_the_codes_are(tmp_path):
    mapping = "1\tpositive\n2\tnegative\n3\tneutral"
    folder = tweeteval(tmp_path / "d", "a\nb\nc", "1\n2\n3", mapping=mapping)
    assert read_labelled(folder, Problems()).labels.tolist() == [2, 0, 1]
    folder = tweeteval(tmp_path / "e", "a\nb\nc", "0\n1\n2", mapping=None, split="val")
    assert read_labelled(folder, Problems()).labels.tolist() == [0, 1, 2]


# Whatever is no line feed; lone surrogates are no text.
LINES = st.text(st.characters(exclude_characters="\n", codec="utf-8")).filter(str.strip)


@given(st.lists(st.tuples(LINES, st.integers(0, 2)), min_size=1, max_size=9))
@settings(deadline=None, max_examples=25)
def test_what_was_written_is_read(tmp_path_factory, rows):
    folder = tmp_path_factory.getbasetemp() / "written"
    texts, labels = zip(*rows, strict=True)
    tweeteval(folder, "\n".join(texts) + "\n", "\n".join(map(str, labels)) + "\n")
    found = read_labelled(str(folder), Problems())
    assert (found.texts, found.labels.tolist()) == ([*texts], [*labels])


@pytest.mark.parametrize(
    ("texts", "labels", "options", "error"),
    [
        ("a\nb\n", "1\n", {}, r"test_text\.txt: has 2 lines for 1 of test_labels\.txt"),
        ("a\n", "1\n", {"split": "dev"}, "no split 'dev'; there are: test"),
        ("a\nb\n", "1\nx\n", {}, r"test_text\.txt:2: 2: unknown label 'x'"),
        ("\n", "1\n", {}, r"test_text\.txt:1: 1: no text"),
    ],
)
def test_folders_that_do_not_fit(tmp_path, texts, labels, options, error):
    folder = tweeteval(tmp_path / "d", texts, labels)
    with pytest.raises(UserError, match=error):
        read_labelled(folder, Problems(), **options)


def test_a_folder_of_other_classes(tmp_path):
    folder = tweeteval(tmp_path / "d", "a\n", "1\n", mapping="0\tirony\n1\tnon_irony\n")
    with pytest.raises(UserError, match=r"mapping\.txt: expected .*, found irony, non_irony"):
        read_labelled(folder, Problems())


def test_other_things_that_are_not_there(tmp_path):
    folder = tweeteval(tmp_path / "d", "a\n", "1\n")
    (tmp_path / "d" / "test_labels.txt").unlink()
    (tmp_path / "latin.csv").write_text("text,label\n,1\n")
    (tmp_path / "none.csv").write_text("text,sentiment\na,1\n")
    for data, options, error in (
        (folder, {}, r"test_labels\.txt: no such file"),
        (str(tmp_path / "no.csv"), {}, r"no\.csv: no such file"),
        (str(tmp_path / "none.csv"), {}, "no column 'label'; found: text, sentiment"),
        (str(tmp_path / "none.csv"), {"split": "test"}, "a table has no splits"),
        (str(tmp_path / "latin.csv"), {}, "no row has a text and a label"),
        (str(tmp_path / "nothing"), {}, "no such dataset"),
    ):
        with pytest.raises(UserError, match=error):
            read_labelled(data, Problems("skip"), **options)


def test_a_dataset_with_texts(tweets):
    """The drawn tweets have no label of the text, so it is the drawn mood."""
    records = list(open_source(str(tweets)).records())
    found = read_labelled(str(tweets), Problems())
    assert found.ids == [record.group for record in records]
    assert found.texts == [record.text for record in records]
    assert found.labels.tolist() == [record.human_label for record in records]
    assert (found.label, found.unlabelled) == ("human_label", 0)


def test_a_dataset_without_texts(distilled):
    with pytest.raises(UserError, match="its records have no text"):
        read_labelled(str(distilled), Problems())
