import csv

import pytest

from input_pipeline.sources import open_source


def build(run, *args):
    return run("input_pipeline.build", *args)


def assert_one_error(done, *parts):
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    errors = done.stderr.strip().splitlines()
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    for part in parts:
        assert part in errors[0]


def test_writes_all_splits_and_refuses_to_write_again(run, table, tmp_path):
    command = [
        "--builder=labelled_images", "--name=mine", f"--split=train={table}",
        f"--split=test={table}", f"--data_dir={tmp_path / 'data'}", "--labels_of=teacher",
    ]  # fmt: skip
    done = build(run, *command)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "data/labelled_images/mine/1.0.0"
    assert done.stdout == f"{folder} train: 9 photos\n{folder} test: 9 photos\n"
    assert "Traceback" not in done.stderr
    source = open_source("labelled_images/mine", "train", data_dir=str(tmp_path / "data"))
    assert source.labels("teacher_label").tolist() == [0, 1, 2] * 3
    assert_one_error(build(run, *command), str(folder), "exists already")


def test_a_bad_row_is_an_error_or_is_skipped(run, photos, tmp_path):
    bad = photos / "bad.csv"
    bad.write_text("path,label\nneutral/01.png,neutral\nno.png,neutral\n")
    command = [f"--split=train={bad}", f"--data_dir={tmp_path / 'data'}"]
    assert_one_error(build(run, *command), f"{bad}:3", "no.png", "no such file", "--on_error=skip")
    assert not list((tmp_path / "data").rglob("dataset_info.json"))

    done = build(run, *command, "--on_error=skip")
    assert done.returncode == 0, done.stderr
    assert "train: 1 photos" in done.stdout
    assert "skipped 1 unusable rows" in done.stderr
    problems = tmp_path / "data/labelled_images/default/1.0.0/problems.csv"
    with open(problems, newline="") as file:
        assert [row["where"] for row in csv.DictReader(file)] == [f"{bad}:3"]
    card = (problems.parent / "README.md").read_text()
    assert "# labelled_images: default" in card
    assert "| rows left out, or masked | 1 |" in card
    assert "| train | human label | 1 | 1 | 0 | 1 | 0 |" in card
    assert str(tmp_path) not in card


def test_demo_tweets_are_the_same_each_time(run, tmp_path):
    prints = []
    command = ["--builder=demo_tweets", "--count=7", "--seed=5", "--size=16"]
    for name in ("a", "b"):
        done = build(run, *command, f"--name={name}", f"--data_dir={tmp_path}")
        assert done.returncode == 0, done.stderr
        assert "7 photos" in done.stdout
        prints.append(open_source(str(tmp_path / "demo_tweets" / name)).fingerprint)
    assert prints[0] == prints[1]


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ([], ["--split: expected at least one"]),
        (["--split=train"], ["--split: expected SPLIT=TABLE", "'train'"]),
        (["--split=all=x.csv"], ["'all' is not a split's name"]),
        (["--builder=mvsa_single"], ["--release: expected the folder"]),
        (["--builder=nothing"], ["--builder=nothing", "labelled_images"]),
    ],
)
def test_wrong_flags_are_told_in_a_line(run, tmp_path, args, parts):
    assert_one_error(build(run, f"--data_dir={tmp_path}", *args), *parts)
    assert not list(tmp_path.iterdir())


def test_the_same_split_twice_is_refused(run, table, tmp_path):
    split = f"--split=train={table}"
    assert_one_error(build(run, split, split, f"--data_dir={tmp_path / 'data'}"), "train")
