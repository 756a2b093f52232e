"""Lines, JSON lines and records of text files: compressed, of other encodings, damaged."""

import csv
import gzip
import json

import packing
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipeline.problems import Problems
from input_pipeline.table_files import read_table, table_columns, table_suffix
from input_pipeline.text_files import is_text, read_json_lines, read_lines
from vit_sentiment.runtime.errors import UserError

PACK = {"plain": bytes, "gzip": gzip.compress, "zstd": packing.zstd}


def lines_of(path, data):
    path.write_bytes(data)
    problems = Problems("skip")
    return [line for _, line in read_lines(path, problems)], problems.rows


def table_of(path, data, **options):
    path.write_bytes(data)
    problems = Problems("skip")
    return [row for _, row in read_table(path, problems, **options)], problems.rows


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_compression_and_encoding_make_no_difference(tmp_path, pack, encoding):
    text = "id,text\n1,grüße 😀\n2,\u2028 no line end\r\n"
    found, problems = lines_of(tmp_path / "a", pack(text.encode(encoding)))
    assert (found, problems) == (["id,text\n", "1,grüße 😀\n", "2,\u2028 no line end\r\n"], [])


def test_files_of_several_compressed_parts_are_read_to_their_end(tmp_path):
    for pack in (gzip.compress, packing.zstd):
        found, problems = lines_of(tmp_path / "a", pack(b"a\n") + pack(b"b\n"))
        assert (found, problems) == (["a\n", "b\n"], [])


@pytest.mark.parametrize("pack", [gzip.compress, packing.zstd], ids=["gzip", "zstd"])
def test_of_a_cut_file_what_lies_before_is_read_and_the_cut_is_told(tmp_path, pack):
    lines = [f"{number},{number * 7919 % 104729}\n" for number in range(100_000)]
    packed = pack("".join(lines).encode())
    found, problems = lines_of(tmp_path / "a", packed[: len(packed) // 2])
    assert 30_000 < len(found) < 60_000
    assert found == lines[: len(found)]
    ((where, _, problem),) = problems
    assert where == f"{tmp_path / 'a'}:{len(found) + 1}"
    assert problem.startswith("cut or damaged from here on: ")
    with pytest.raises(UserError, match="cut or damaged"):
        list(read_lines(tmp_path / "a", Problems("fail")))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), pack=st.sampled_from(sorted(PACK)))
def test_no_damage_is_fatal_or_silent(tmp_path_factory, data, pack):
    path = tmp_path_factory.getbasetemp() / "damaged.jsonl"
    good = "".join(f'{{"id":"{n}","text":"é {n}"}}\n' for n in range(20)).encode()
    packed = bytearray(PACK[pack](good))
    for place in data.draw(st.lists(st.integers(0, len(packed) - 1), max_size=3)):
        packed[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(packed)))
    path.write_bytes(packed[:cut])
    problems = Problems("skip")
    read = [value for _, value in read_json_lines(path, problems)]
    if cut and bytes(packed) == PACK[pack](good) and cut < len(packed) and pack != "plain":
        assert problems.rows
        assert read == [{"id": f"{n}", "text": f"é {n}"} for n in range(len(read))]


def test_long_files_show_how_far_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("input_pipeline.text_files._LONG", 0)
    found, _ = lines_of(tmp_path / "list.csv", b"x\n" * 600_000)
    assert len(found) == 600_000
    assert "read list.csv: 1/1 MB" in capsys.readouterr().err


def test_lines_in_another_encoding_are_told_each(tmp_path):
    data = "id,text\n1,gr\xfc\xdfe\n2,good\n".encode("latin-1")
    rows, problems = table_of(tmp_path / "a.csv", data)
    assert rows == [{"id": "2", "text": "good"}]
    assert problems == [(f"{tmp_path / 'a.csv'}:2", "", "not UTF-8")]
    half = "id,text\n1,a\n".encode("utf-16") + b"\x3d\xd8" + "b\n3,c\n".encode("utf-16-le") + b"\0"
    rows, problems = table_of(tmp_path / "a.csv", half)
    assert rows == [{"id": "1", "text": "a"}, {"id": "3", "text": "c"}]
    assert len(problems) == 2  # Half a pair; half a character at the end.


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": "1", "te', "not JSON: Unterminated string"),
        ("[1, 2]", "expected a JSON object, found: '[1, 2]'"),
        ("[" * 100_000, "not JSON: maximum recursion depth"),
        ("\0\0", "not JSON: "),
    ],
)
def test_a_line_that_is_no_json_object_is_told(tmp_path, line, problem):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"id": 1}}\n\r\n{line}\n{{"id": 2}}\n')
    problems = Problems("skip")
    assert [row for _, row in read_json_lines(path, problems)] == [{"id": "1"}, {"id": "2"}]
    ((where, _, found),) = problems.rows
    assert where == f"{path}:3"
    assert found.startswith(problem)


def test_numbers_of_any_length_keep_their_digits(tmp_path):
    digits = "9" * 5000
    rows, _ = table_of(tmp_path / "a.jsonl", f'{{"id": {digits}}}\n{{"id": 1.5}}\n'.encode())
    assert rows == [{"id": digits}, {"id": "1.5"}]


def test_a_quote_without_an_end_costs_one_line(tmp_path):
    lines = [
        "id,text",
        '1,"open',
        "2,fine",
        '3,"quoted, too"',
        '4,"two',
        'lines"',
        '5,"open',
        "6,x",
    ]
    rows, problems = table_of(tmp_path / "a.csv", "\n".join(lines).encode())
    assert [row["id"] for row in rows] == ["2", "3", "4", "6"]
    assert rows[2]["text"] == "two\nlines"
    assert [where.rsplit(":")[-1] for where, _, _ in problems] == ["2", "7"]
    assert all("not a line of fields" in problem for _, _, problem in problems)


def test_a_field_longer_than_csv_reads_costs_its_line(tmp_path):
    rows, problems = table_of(tmp_path / "a.csv", b"id\n" + b"x" * 200_000 + b"\n2\n")
    assert rows == [{"id": "2"}]
    assert "field larger than field limit" in problems[0][2]
    long = {"id": "x" * 200_000}
    rows, problems = table_of(tmp_path / "a.jsonl", json.dumps(long).encode())
    assert (rows, problems) == ([long], [])


def test_zero_bytes_stay(tmp_path):
    rows, problems = table_of(tmp_path / "a.csv", b"id,text\n1,a\0b\n")
    assert (rows, problems) == ([{"id": "1", "text": "a\0b"}], [])


def test_values_of_json_and_parquet_become_the_same_text(tmp_path):
    values = {"a": ["x", "ü"], "b": True, "c": None, "d": {"e": 1}, "f": 12345678901234567890}
    rows, _ = table_of(tmp_path / "a.jsonl", json.dumps(values).encode())
    expected = '["x", "ü"]', "True", "", "12345678901234567890"
    assert tuple(rows[0][name] for name in "abcf") == expected
    frame = pl.DataFrame([values], schema_overrides={"f": pl.UInt64})
    frame.write_parquet(tmp_path / "a.parquet")
    ((_, row),) = read_table(tmp_path / "a.parquet", Problems())
    assert tuple(row[name] for name in "abcf") == expected


def test_keys_may_be_missing_and_only_what_is_required_is_given(tmp_path):
    data = b'{"id": "1"}\n{"text": "b", "id": "2", "x": 0}\n'
    rows, _ = table_of(tmp_path / "a.jsonl", data, required=("id", "text"), only_required=True)
    assert rows == [{"id": "1", "text": ""}, {"id": "2", "text": "b"}]
    assert table_columns(tmp_path / "a.jsonl") == ["id", "text", "x"]
    with pytest.raises(UserError, match="no column 'y'; found: id, text, x"):
        table_of(tmp_path / "a.jsonl", data, required=("y",))
    pl.DataFrame({"id": [1], "x": [2]}).write_parquet(tmp_path / "a.parquet")
    for name in ("y", "id"):
        rows = read_table(tmp_path / "a.parquet", Problems(), required=[name], only_required=True)
        if name == "id":
            assert [row for _, row in rows] == [{"id": "1"}]
        else:
            with pytest.raises(UserError, match="no column 'y'; found: id, x"):
                next(rows)


def test_half_a_character_in_json_is_told(tmp_path):
    rows, problems = table_of(
        tmp_path / "a.jsonl", b'{"id": "\\ud83d"}\n{"id": "\\ud83d\\ude00"}\n'
    )
    assert rows == [{"id": "😀"}]
    assert problems == [(f"{tmp_path / 'a.jsonl'}:1", "", "not UTF-8")]
    assert not is_text("\ud83d")
    with pytest.raises(UserError, match=r"no column 'y'; found: id$"):
        table_of(tmp_path / "a.jsonl", b'{"\\ud83d": 0, "id": 0}', required=("y",))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.csv", ".csv"), ("A.TSV.GZ", ".tsv"), ("a.ndjson.zst", ".jsonl"), ("a.json", ".jsonl"),
     ("a.parquet", ".parquet"), ("a.parquet.gz", ""), ("a.gz", ""), ("a.txt", "")],
)  # fmt: skip
def test_the_suffix_says_what_a_table_is(name, suffix):
    assert table_suffix(name) == suffix


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file, expected a header line"),
        (b'"a', "expected a header line, found no line of fields"),
        (b"\xff\xffa,b\n", "header line is not UTF-8"),
    ],
)
def test_a_header_that_cannot_be_read_is_an_error(tmp_path, data, message):
    with pytest.raises(UserError, match=message):
        table_of(tmp_path / "a.csv", data)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(*2 * [st.text(st.characters(exclude_categories=["Cs"]), max_size=9)]), max_size=5
    )
)
def test_what_csv_and_json_write_is_read(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *values])
    expected = [{"a": a, "b": b} for a, b in values]
    assert [row for _, row in read_table(path, Problems(), required=("a",))] == expected
    if values:
        path = path.with_suffix(".jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in expected), encoding="utf-8")
        assert [row for _, row in read_table(path, Problems(), required=("a",))] == expected
