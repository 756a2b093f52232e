import csv

import polars as pl
import pytest

from input_pipeline.problems import Problems
from input_pipeline.tables import Columns, read_rows
from vit_sentiment.runtime.errors import UserError


def values(rows):
    """What a record takes from a row."""
    return [(row.path, row.label, row.id, row.group) for row in rows]


def read_text(folder, text, name="list.csv", **options):
    (folder / name).write_text(text)
    return read_rows(folder / name, Problems(), **options)


def test_all_forms_of_a_list_give_equal_rows(photos, table):
    with open(table, newline="") as file:
        header, *rows = csv.reader(file)
    by_class = sorted(rows)
    frame = pl.DataFrame(by_class, schema=header, orient="row")
    frame.write_csv(photos / "sorted.csv")
    frame.write_csv(photos / "sorted.tsv", separator="\t")
    frame.write_parquet(photos / "sorted.parquet")
    (photos / "sorted.csv").rename(photos / "SORTED.CSV")
    expected = [
        (photos / path, ["negative", "neutral", "positive"].index(label), path, path)
        for path, label in by_class
    ]
    for name in ("SORTED.CSV", "sorted.tsv", "sorted.parquet"):
        assert values(read_rows(photos / name, Problems())) == expected
    for name in ("sorted.tsv", "sorted.parquet", "SORTED.CSV", "photos.csv"):
        (photos / name).unlink()
    assert values(read_rows(photos, Problems())) == expected


def test_rows_keep_the_order_of_the_table(photos, table):
    rows = read_rows(table, Problems())
    assert [row.label for row in rows] == [0, 1, 2] * 3
    assert [row.where for row in rows] == [f"{table}:{line}" for line in range(2, 11)]


@pytest.mark.parametrize(
    ("text", "label"),
    [("negative", 0), ("Positive", 2), (" neutral ", 1), ("0", 0), ("2", 2), ("1.0", 1),
     ("awe", 2), ("Fear", 0), ("joy", 2)],
)  # fmt: skip
def test_labels_are_names_indices_or_emotions(photos, text, label):
    rows = read_text(photos, f"path,label\nneutral/01.png,{text}\n")
    assert [row.label for row in rows] == [label]


def test_other_classes_keep_their_order(photos):
    text = "path,label\nneutral/01.png,fear\nneutral/04.png,awe\n"
    rows = read_text(photos, text, classes=("awe", "fear"))
    assert [row.label for row in rows] == [1, 0]


def test_ids_stay_strings(photos):
    text = (
        "path,label,number\n"
        "neutral/01.png,0,007\nneutral/04.png,0,1234567890123456789\nneutral/07.png,0,1e3\n"
    )
    columns = Columns(id="number", group="number")
    rows = read_text(photos, text, columns=columns)
    assert [row.id for row in rows] == ["007", "1234567890123456789", "1e3"]
    assert [row.group for row in rows] == ["007", "1234567890123456789", "1e3"]
    pl.DataFrame(
        {
            "path": ["neutral/01.png", "neutral/04.png"],
            "label": [2, 0],
            "number": [1234567890123456789, 7],
        }
    ).write_parquet(photos / "list.parquet")
    rows = read_rows(photos / "list.parquet", Problems(), columns=columns)
    assert [(row.id, row.label) for row in rows] == [("1234567890123456789", 2), ("7", 0)]


def test_columns_by_name_and_photos_elsewhere(photos, tmp_path):
    (tmp_path / "lists").mkdir()
    rows = read_text(
        tmp_path / "lists",
        "sentiment,file,label\npositive,neutral/01.png,nonsense\n",
        images=photos,
        columns=Columns(path="file", label="sentiment"),
    )
    assert values(rows) == [(photos / "neutral/01.png", 2, "neutral/01.png", "neutral/01.png")]


def test_the_column_class_is_taken_for_label(photos):
    assert read_text(photos, "path,class\nneutral/01.png,positive\n")[0].label == 2


def test_photos_of_a_tweet_share_a_group(photos, make_photo):
    for name in ("768097627686604801-0.jpg", "768097627686604801-1.jpg", "12-1.jpg"):
        (photos / name).write_bytes(make_photo(0))
    text = "path,label\n768097627686604801-0.jpg,0\n768097627686604801-1.jpg,0\n12-1.jpg,0\n"
    rows = read_text(photos, text)
    assert [row.group for row in rows] == ["768097627686604801"] * 2 + ["12-1.jpg"]
    assert [row.id for row in rows] == [line.split(",")[0] for line in text.splitlines()[1:]]


def test_a_column_without_a_name_is_not_the_group(photos, make_photo):
    """pandas writes its index as such a column."""
    for k in range(2):
        (photos / f"768097627686604801-{k}.jpg").write_bytes(make_photo(k))
    text = ",path,label\n0,768097627686604801-0.jpg,0\n1,768097627686604801-1.jpg,0\n"
    assert [row.group for row in read_text(photos, text)] == ["768097627686604801"] * 2


BAD = {
    "missing file": ("neutral/no.png,neutral", "no such file"),
    "folder": ("neutral,neutral", "no such file"),
    "no path": (",neutral", "no such file"),
    "unknown label": ("neutral/04.png,cheerful", "unknown label 'cheerful'"),
    "index beyond the classes": ("neutral/04.png,3", "unknown label '3'"),
    "negative index": ("neutral/04.png,-1", "unknown label '-1'"),
    "no label": ("neutral/04.png,", "unknown label ''"),
    "duplicate": ("neutral/01.png,neutral", "duplicate of .*list.csv:2"),
    "short row": ("neutral/04.png", "expected 2 fields, found 1"),
    "long row": ("neutral/04.png,neutral,x", "expected 2 fields, found 3"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_row_is_an_error_with_file_and_line_or_is_skipped(photos, kind):
    row, message = BAD[kind]
    path = photos / "list.csv"
    path.write_text(f"path,label\nneutral/01.png,neutral\n{row}\npositive/02.png,positive\n")
    with pytest.raises(UserError, match=message) as error:
        read_rows(path, Problems())
    assert str(error.value).startswith(f"{path}:3: ")
    assert "\n" not in str(error.value)

    problems = Problems("skip")
    assert [row.id for row in read_rows(path, problems)] == ["neutral/01.png", "positive/02.png"]
    assert [where for where, _, _ in problems.rows] == [f"{path}:3"]


def test_lines_are_counted_through_quoted_newlines_and_blank_lines(photos):
    text = (
        "path,label,text\n"
        'neutral/01.png,neutral,"two\nlines"\n'
        "\n"
        'neutral/04.png,cheerful,"three\r\nmore\nlines"\n'
        "neutral/07.png,neutral,one\n"
        "no.png,neutral,one\n"
    )
    (photos / "list.csv").write_bytes(text.encode())
    problems = Problems("skip")
    rows = read_rows(photos / "list.csv", problems)
    assert [row.where.rpartition(":")[2] for row in rows] == ["2", "8"]
    assert [where.rpartition(":")[2] for where, _, _ in problems.rows] == ["5", "9"]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(photos):
    (photos / "list.csv").write_bytes(b"\xef\xbb\xbfpath,label\r\nneutral/01.png,neutral\r\n")
    assert [row.id for row in read_rows(photos / "list.csv", Problems())] == ["neutral/01.png"]


def test_a_bad_row_of_a_parquet_file_names_its_number(photos):
    frame = pl.DataFrame({"path": ["neutral/01.png", "no.png"], "label": ["neutral", None]})
    frame.write_parquet(photos / "list.parquet")
    with pytest.raises(UserError, match=r"list\.parquet: row 2: "):
        read_rows(photos / "list.parquet", Problems())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "empty file"),
        ("a.csv", b"path,label\n", "no usable rows"),
        ("a.csv", b"file,label\nneutral/01.png,neutral\n", "no column 'path'; found: file, label"),
        (
            "a.csv",
            b"path,mood\nneutral/01.png,neutral\n",
            "no column 'label' or 'class'; found: path, mood",
        ),
        ("a.csv", b"path,label\n\xff\xfe\x00,neutral\n", r"a\.csv:2: .*not UTF-8"),
        ("a.csv", b'path,label\n"neutral/01.png,neutral\n', r"a\.csv:2: .*not a line of fields"),
        ("a.parquet", b"PAR1 not really", "not a readable Parquet file"),
        ("a.xlsx", b"", r"expected a \.csv"),
        ("a.csv", None, "no such file"),
        ("a.parquet", None, "not a readable Parquet file|no such file"),
    ],
)
def test_an_unusable_table_is_an_error_with_its_name(photos, name, content, message):
    path = photos / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_rows(path, Problems("skip"))
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_folder_without_class_folders_is_an_error(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(UserError, match="expected a folder for each class"):
        read_rows(tmp_path, Problems())


def test_a_class_folder_of_another_name_is_an_error_or_skipped(photos):
    (photos / "neutral").rename(photos / "whatever")
    with pytest.raises(UserError, match=r"whatever: .*unknown label 'whatever'"):
        read_rows(photos, Problems())
    problems = Problems("skip")
    assert [row.label for row in read_rows(photos, problems)] == [0] * 3 + [2] * 3
    assert len(problems.rows) == 3


def test_skipped_rows_are_listed_and_counted(tmp_path, capsys):
    problems = Problems("skip")
    problems.write(tmp_path / "problems.csv")
    assert not (tmp_path / "problems.csv").exists()
    problems.add("a.csv:2", "x, y.jpg", 'no "such" file')
    problems.add("a.csv:9", "", "short\nrow")
    problems.write(tmp_path / "problems.csv")
    assert "skipped 2 unusable rows" in capsys.readouterr().err
    with open(tmp_path / "problems.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["where", "path", "problem"],
        ["a.csv:2", "x, y.jpg", 'no "such" file'],
        ["a.csv:9", "", "short\nrow"],
    ]
