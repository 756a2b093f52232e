"""`python -m vit_sentiment.predict --list`: killed, on eight devices, and its flags."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import listed
import polars as pl
import pytest
import tiny

pytestmark = pytest.mark.usefixtures("quick_compilation")
ROOT = pathlib.Path(__file__).parents[2]
LENGTH = 5000
ROWS = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and a list that names its photos very often."""
    folder = tmp_path_factory.mktemp("command")
    names = listed.draw_photos(folder)
    rows = [names[number % len(names)] for number in range(LENGTH)]
    pl.DataFrame({"id": range(LENGTH), "photo": rows}).write_parquet(folder / "list.parquet")
    (folder / "short.txt").write_text("\r\n".join(rows[:100]))
    listed.write_model(folder / "model.npz", listed.make_model())
    return folder


def words(folder, out):
    sizes = "--batch_size=16", f"--rows_per_shard={ROWS}", "--column=photo"
    return "--model=model.npz", "--list=list.parquet", f"--out={out}", *sizes


def test_killed_at_any_time_it_ends_with_the_same_bytes(run, folder, tmp_path):
    module = "vit_sentiment.predict"
    done = run(module, *words(folder, tmp_path / "whole"), cwd=folder, env=tiny.ENV)
    assert done.returncode == 0, done.stderr
    out, total = tmp_path / "out", -(-LENGTH // ROWS)
    for wanted in (1, total // 2):
        before = _state(out)
        process = subprocess.Popen(
            [sys.executable, "-m", module, *words(folder, out)],
            cwd=folder,
            env=os.environ | tiny.ENV | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
            stderr=subprocess.DEVNULL,
        )
        while len(_state(out)) < max(wanted, len(before) + 1):
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(random.Random(wanted).random() / 50)
        process.send_signal(signal.SIGKILL)
        process.wait()
        there = _state(out)
        assert len(before) < len(there) < total
        assert before.items() <= there.items()  # None of them was made twice.
    done = run(module, *words(folder, out), cwd=folder, env=tiny.ENV)
    assert done.returncode == 0, done.stderr
    assert f"{len(there)} of {total} shards were done before" in done.stderr
    assert there.items() <= _state(out).items()
    assert listed.parts(out) == listed.parts(tmp_path / "whole")
    assert not [*out.glob(".part-*")]


def _state(folder):
    """Name of each shard to what changes when it is written again."""
    stats = {path.name: path.stat() for path in folder.glob("part-*.parquet")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def test_eight_devices_give_the_same_labels(run, folder, tmp_path):
    done = run(
        "vit_sentiment.predict", "--model=model.npz", "--list=short.txt", f"--out={tmp_path}",
        "--batch_size=20", "--rows_per_shard=30", devices=8, cwd=folder, env=tiny.ENV,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = pl.read_parquet(tmp_path / "part-*.parquet")
    paths = [folder / path for path in found["path"]]
    assert len(paths) == 100
    assert found["label"].to_list() == [one.label for one in listed.make_model().predict(paths)]


def test_failures_are_told_at_the_end(run, folder, tmp_path):
    (tmp_path / "list.txt").write_text("0.jpg\ngone.jpg\n")
    arguments = "--model=model.npz", f"--list={tmp_path / 'list.txt'}", f"--images={folder}"
    done = run(
        "vit_sentiment.predict", *arguments, f"--out={tmp_path / 'out'}", cwd=folder, env=tiny.ENV
    )
    assert done.returncode == 1
    message = "error: 1 of 2 photos cannot be read; see the column error of the files in"
    assert done.stderr.splitlines()[-1].startswith(message)
    assert "corrected share" in done.stdout
    assert "no such file" in done.stdout
    assert (tmp_path / "out/summary.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--list=short.txt", "--out=o", "-"), "give either photos or --list"),
        (("--list=short.txt",), "--list needs --out=FOLDER"),
        (("--list=short.txt", "--out=o", "--csv=a.csv"), "--csv does not go with --list"),
        (("a.jpg", "--shard=0/2"), "--shard does not go without --list"),
        *(
            (("--list=short.txt", "--out=o", f"--shard={text}"), "--shard: expected I/N with I")
            for text in ("2/2", "1", "-1/2")
        ),
    ],
)
def test_flags_that_make_no_sense(run, arguments, message):
    done = run("vit_sentiment.predict", "--model=m", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {message}")
