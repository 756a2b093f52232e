"""Files of predictions in every form that systems write them."""

import numpy as np
import polars as pl
import pytest

from vit_sentiment.evaluation import prediction_files
from vit_sentiment.runtime.errors import UserError

IDS = ["b.jpg", "a.jpg", "d/c.jpg"]
PROBS = np.array([[0.7, 0.2, 0.1], [1e-5, 0.25, 0.75], [0.5, 0.25, 0.25]])
ROWS = ["0.7,0.2,0.1", "1e-05,2.5E-1,0.75", "0.5,.25,0.25"]


@pytest.fixture
def file(tmp_path):
    """A function that writes bytes or text and gives the path."""

    def write(content, name="predictions.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def lines(*rows, end="\n"):
    return end.join([*rows, ""])


def with_paths(order, header="path,NEG,NEU,POS"):
    return lines(header, *(f"{IDS[n]},{ROWS[n]}" for n in order))


FORMS = {
    "original": lines("NEG,NEU,POS", *ROWS),
    "no header": lines(*ROWS),
    "no end of the last line": "\n".join(ROWS),
    "lower case": lines("neg,neu,pos", *ROWS),
    "spelt out, with blanks": lines(" Negative , neutral,POSITIVE", *ROWS),
    "Windows": lines("NEG,NEU,POS", *ROWS, end="\r\n"),
    "mark of UTF-8": b"\xef\xbb\xbf" + lines("NEG,NEU,POS", *ROWS).encode(),
    "mark of UTF-8, no header": b"\xef\xbb\xbf" + lines(*ROWS).encode(),
    "blank lines at the end": lines("NEG,NEU,POS", *ROWS) + "\r\n\n",
    "tabs": lines("NEG,NEU,POS", *ROWS).replace(",", "\t"),
    "semicolons": lines("NEG,NEU,POS", *ROWS).replace(",", ";"),
    "blanks, no header": lines(*ROWS).replace(",", " "),
    "quoted": lines('"NEG","NEU","POS"', *(f'"{r}"'.replace(",", '","') for r in ROWS)),
    "quoted, no header": lines(*(f'"{row}"'.replace(",", '","') for row in ROWS)),
    "other order of columns": lines("POS,x,NEU,NEG", ".1,?,.2,.7", ".75,,.25,1e-5", ".25,,.25,.5"),
    "ours": lines(
        "path,NEG,NEU,POS,label,error",
        *(f"{id_},{row},negative," for id_, row in zip(IDS, ROWS, strict=True)),
    ),
    "shuffled": with_paths([2, 0, 1]),
    "photos of others": with_paths([2, 0, 1], "Image,neg,neu,pos") + "z.jpg,0.1,0.1,0.8\n",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_say_the_same(file, form):
    found = prediction_files.read(file(FORMS[form]), IDS)
    np.testing.assert_allclose(found.probs, PROBS, rtol=0, atol=1e-15)
    assert found.known.all()
    assert found.graded


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
def test_parquet(tmp_path, dtype):
    table = pl.DataFrame({"path": IDS, **dict(zip(("NEG", "NEU", "POS"), PROBS.T, strict=True))})
    path = tmp_path / "predictions.parquet"
    table[::-1].with_columns(pl.col("NEG", "NEU", "POS").cast(dtype)).write_parquet(path)
    np.testing.assert_allclose(prediction_files.read(path, IDS).probs, PROBS, rtol=1e-7)


def test_tiny_values_are_told_apart(file):
    """Another system's float64 may be below what float32 holds."""
    found = prediction_files.read(file("NEG,POS\n1e-60,1e-50\n"), ["a"])
    assert found.probs.tolist() == [[1e-60, 0, 1e-50]]


def test_the_originals_form_keeps_float32_and_has_no_numbers_for_what_was_not_read(tmp_path):
    rng = np.random.default_rng(0)
    probs = (10 ** rng.uniform(-40, 0, (50, 3))).astype(np.float32)
    readable = np.arange(50) % 7 != 3
    path = tmp_path / "new" / "original.csv"
    prediction_files.write_original(path, probs, readable)
    header, *rows = path.read_text().split("\n")
    assert header == "NEG,NEU,POS"
    assert [row for row in rows if row == ",,"] == [",,"] * int((~readable).sum())
    found = prediction_files.read(path, [str(n) for n in range(50)])
    np.testing.assert_array_equal(found.known, readable)
    np.testing.assert_array_equal(found.probs.astype(np.float32)[readable], probs[readable])


def test_rows_with_an_error_are_left_out_and_counted(file, capsys):
    text = lines("path,NEG,NEU,POS,label,error", "d/c.jpg,,,,,unreadable", "b.jpg,0.7,0.2,0.1,neg,",
                 "a.jpg,0,0,0,,gone")  # fmt: skip
    found = prediction_files.read(file(text), IDS)
    assert found.known.tolist() == [True, False, False]
    assert "2 of 3 rows have no prediction and are left out" in capsys.readouterr().err


def test_masked_folds_keep_their_two_classes(file):
    found = prediction_files.read(file("NEG,NEU,POS\n0.9,2.1e-09,0.1\n"), ["a"])
    assert found.probs.tolist() == [[0.9, 2.1e-9, 0.1]]


@pytest.mark.parametrize(("labels", "binary", "expected"), [
    (["negative", "Neutral", "POS"], True, [0, 1, 2]),
    (["0", "1", "1"], True, [0, 2, 2]),
    (["0.0", "1.0", "0.0"], True, [0, 2, 0]),
    (["0", "2", "1"], True, [0, 2, 1]),
    (["0", "1", "1"], False, [0, 1, 1]),
])  # fmt: skip
def test_labels_alone(file, labels, binary, expected):
    found = prediction_files.read(file(lines("label", *labels)), IDS, binary=binary)
    assert found.probs.argmax(axis=1).tolist() == expected
    assert found.probs.sum(axis=1).tolist() == [1, 1, 1]
    assert not found.graded


NUMBERS = lines("NEG,NEU,POS", *ROWS)


@pytest.mark.parametrize(("content", "told"), [
    (lines("NEG,NEU,POS", *ROWS[:2]), r"expected 3 rows, .*, found 2; .*no column path"),
    (lines(*ROWS, "0,0,1"), r"expected 3 rows, .*, found 4; .*no column path"),
    (with_paths([0, 2]), r"lacks 1 of the benchmark's 3 photos, the first is 'a\.jpg'"),
    (with_paths([0, 1, 2, 1]), r"'a\.jpg' is there twice"),
    (NUMBERS.replace("0.75", "high"), r"row 2: POS: expected a probability, found high"),
    (NUMBERS.replace("0.75", "nan"), r"row 2: POS: expected a probability, found nan"),
    (NUMBERS.replace("0.75", "inf"), r"row 2: POS: expected a probability, found inf"),
    (NUMBERS.replace("0.75", "-0.75"), r"row 2: POS: expected a probability, found -0.75"),
    (NUMBERS.replace("0.75", ""), r"row 2: POS: expected a probability, found nothing"),
    (lines("NEG,NEU,POS", ",,", ",,", ",,"), r"no prediction for any of the benchmark's 3 rows"),
    (lines("label", "pos", "glad", "neg"), r"row 2: expected one of negative, .*, found 'glad'"),
    (lines("label", "0", "3", "1"), r"row 2: expected one of .* class number, found '3'"),
    (lines("score", "1", "2", "3"), r"expected columns NEG, NEU, POS or a label, found score"),
    (lines("0.5,0.5", "0.5,0.5"), r"expected columns NEG, NEU, POS or a label, found 0.5, "),
    (lines("NEG,NEU,POS", "1,2,3,4"), r"not a readable table: "),
    ("", r"not a readable table: empty"),
    ("NEG,NEU,POS\n1,2,3\n".encode("utf-16"), r"not a readable table: "),
])  # fmt: skip
def test_what_does_not_fit_is_told_in_one_line(file, content, told):
    path = file(content)
    with pytest.raises(UserError, match=told) as error:
        prediction_files.read(path, IDS)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_no_file_and_no_parquet(file, tmp_path):
    with pytest.raises(UserError, match=r"never\.csv: no such file"):
        prediction_files.read(tmp_path / "never.csv", IDS)
    with pytest.raises(UserError, match=r"not a readable table: [^\n]*$"):
        prediction_files.read(file("NEG", "false.parquet"), IDS)


def test_a_list_with_the_corrupted_photo_is_told_what_the_benchmark_leaves_out(file, capsys):
    with pytest.raises(UserError, match=r"found 4; .*; the benchmark leaves out x\.jpg$"):
        prediction_files.read(file(lines(*ROWS, ROWS[0])), IDS, left_out=["x.jpg"])
    text = with_paths([0, 1, 2]) + "x.jpg,0.1,0.1,0.8\n"
    prediction_files.read(file(text), IDS, left_out=["x.jpg"])
    assert capsys.readouterr().err == ""
    prediction_files.read(file(text), IDS)
    assert "1 rows of photos that are not in the benchmark" in capsys.readouterr().err
