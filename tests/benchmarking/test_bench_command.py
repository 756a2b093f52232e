"""The command `bench`, with a peer that answers without computing."""

import pathlib
import re
import sys

import pytest


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("id,text\n" + "".join(f"{n},@me day {n} was good\n" for n in range(50)))
    return path


def script(path, command):
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return path


def bench(run, golden, texts, python):
    return run(
        "vit_sentiment.bench",
        "teacher",
        f"--tweets={texts}",
        f"--model={golden / 'roberta'}",
        "--count=40",
        "--rounds=1",
        f"--peer_python={python}",
    )


def test_prints_both_rates_and_their_ratio(run, golden, texts, tmp_path):
    before = sorted((golden / "roberta").iterdir())
    peer = pathlib.Path(__file__).with_name("fake_peer.py")
    done = bench(run, golden, texts, script(tmp_path / "python", f"exec {sys.executable} {peer}"))
    assert done.returncode == 0, done.stderr
    assert "torch 1.2.3" in done.stdout
    for unit, factor in (("s", 1), ("core-second", 2)):
        ours = float(re.search(rf"^ours +([\d.]+) tweets/{unit}$", done.stdout, re.M)[1])
        for order, rate in (("sorted", 20.0 / factor), ("unsorted", 10.0 / factor)):
            line = rf"^transformers, {order} +{rate} tweets/{unit}, ours is ([\d.]+) times$"
            ratio = float(re.search(line, done.stdout, re.M)[1])
            assert ratio == pytest.approx(ours / rate, rel=0.02)
    assert sorted((golden / "roberta").iterdir()) == before


def test_a_peer_that_stops_is_one_line(run, golden, texts, tmp_path):
    done = bench(run, golden, texts, script(tmp_path / "python", "echo no torch >&2; exit 1"))
    assert done.returncode == 1
    assert "the peer stopped" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
