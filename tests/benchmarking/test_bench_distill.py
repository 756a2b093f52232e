"""The command `bench distill` at a small size, and that it would tell what is wrong."""

import itertools
import re

import cv2
import numpy as np
import pytest

from vit_sentiment.benchmarking import distill_hashes, distill_precision


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eight photos that differ, a copy of one, a flat one and one that does not decode."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(8):
        rough = generator.integers(0, 256, (12, 12, 3), np.uint8)
        photo = cv2.resize(rough, (160, 120), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}.png"), photo)
    (folder / "below").mkdir()
    cv2.imwrite(str(folder / "below" / "copy.jpg"), photo)
    cv2.imwrite(str(folder / "flat.png"), np.full((50, 50, 3), 99, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def test_every_part_tells_what_it_measured(run, photos):
    done = run("vit_sentiment.bench", "distill", "--scale=0.002", f"--photos={photos}")
    assert done.returncode == 0, done.stderr
    machine, versions, *lines = done.stdout.splitlines()
    assert re.fullmatch(r"machine    .*, \d+ cores of .*", machine)
    assert re.fullmatch(r"versions   numpy \d.*, polars \d.*", versions)
    measured = [
        re.match(r"hashes     ([\d,]+): .*CPU s.*, recall (.*) at distance 3; ([\d.]+) GiB$", line)
        for line in lines[:4]
    ]
    assert [(m[1], m[2]) for m in measured] == [
        ("1,000", "1"), ("2,000", "1"), ("4,000", "1"), ("7,400", "1")
    ]  # fmt: skip
    assert all(0.05 < float(m[3]) < 2 for m in measured)
    assert re.match(r"hashes     7.4 times as many have .* times the CPU time$", lines[4])
    assert lines[5].startswith(
        "precision  8 different photos of 11 files (1 copies, 1 flat, 1 damaged left out), 9 alter"
    )
    precision = re.match(
        r"precision  distance 3: ([\d.]+) \(\d+ of \d+ pairs are wrong\)", lines[6]
    )
    assert float(precision[1]) >= 0.99
    assert "precision  JPEG quality 50: recall 1.000 at 3, 1.000 at 6, 1.000 at 8" in lines
    line = r"tables     6,000 tweets, 7,400 photos, (.*): .* CPU s: filter .*; (.*) photos; .* GiB"
    found = [re.fullmatch(line, text) for text in lines[-4:-2]]
    assert [m[1] for m in found] == ["bal", "all kept"]
    kept = [sum(int(n.replace(",", "")) for n in m[2].split(" + ")) for m in found]
    assert 500 < kept[0] < 4000 < 7000 < kept[1] <= 7400
    line = r"writing    8 photos, short side 224, \d+ workers: .* photos/(core-)?s, .* ratio .* GiB"
    assert all(re.fullmatch(line, text) for text in lines[-2:])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([], "--parts: precision and writing need --photos=FOLDER"),
        (["--photos=no/where"], "--photos=no/where: no such folder"),
        (["--parts=hashes,speed"], "--parts: expected some of hashes,.*; found 'speed'"),
        (["--parts=precision", "--photos={}"], ".*: expected at least two different photos"),
    ],
)
def test_mistakes_are_one_line(run, tmp_path, options, error):
    done = run("vit_sentiment.bench", "distill", *(text.format(tmp_path) for text in options))
    assert done.returncode == 1
    assert re.fullmatch(f"error: {error}", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def test_planted_hashes_are_near_and_skewed_as_promised():
    values, copies, of = distill_hashes.synthesise(20_000)
    assert len(np.unique(copies)) == 4000
    assert not set(copies.tolist()) & set(of.tolist())
    apart = np.bitwise_count(values[copies] ^ values[of])
    assert set(apart.tolist()) == {0, 1, 2, 3}
    others = np.delete(values, copies)
    assert np.sum(others < 2**16) == 200
    found, counts = np.unique(others, return_counts=True)
    assert np.sort(counts)[-50:].sum() >= 1000
    assert len(found) > 14_000


def test_recall_falls_when_pairs_are_missed(monkeypatch):
    whole = distill_hashes.near_pairs

    def half(values, distance):
        pairs = whole(values, distance)
        return type(pairs)(*(getattr(pairs, f)[::2] for f in ("first", "second", "distance")))

    assert distill_hashes.measure(3000)["recall"] == 1
    monkeypatch.setattr(distill_hashes, "near_pairs", half)
    assert 0.4 < distill_hashes.measure(3000)["recall"] < 0.6


def test_precision_is_that_of_all_pairs():
    hashes = np.random.default_rng(0).integers(0, 2**6, (9, 4), dtype=np.uint64)
    rows = list(itertools.product(range(9), range(4)))
    near = [
        a[0] == b[0]
        for a, b in itertools.combinations(rows, 2)
        if int(hashes[a] ^ hashes[b]).bit_count() <= 1
    ]
    judged = distill_precision._judged(hashes, 1)
    assert (judged["right"], judged["wrong"]) == (sum(near), len(near) - sum(near))
    assert judged["precision"] == pytest.approx(sum(near) / len(near))
    assert judged["recall"] == pytest.approx(sum(near) / (9 * 6))
    assert 0 < judged["precision"] < 1
