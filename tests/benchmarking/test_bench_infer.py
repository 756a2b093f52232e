"""The command `bench infer`, with a peer that answers without computing."""

import pathlib
import re
import sys

import pytest
import tiny

ALL = [
    "JAX", "onnxruntime float32", "onnxruntime int8", "OpenVINO float32", "PyTorch eager",
    "PyTorch compiled", "PyTorch eager, bfloat16", "PyTorch compiled, bfloat16",
]  # fmt: skip


def bench(run, model, *args):
    words = (f"--model={model}", "--rounds=1", "--seconds=0", "--batch_sizes=1,3", *args)
    return run("vit_sentiment.bench", "infer", *words, env=tiny.ENV)


def rows(text):
    """Name to photos/s, times JAX and difference, of each table."""
    line = r"^(\S.*?) {2,}([\d.]+) +([\d.]+) +(\S+)$"
    tables = re.split(r"^batches of .*$", text, flags=re.M)[1:]
    return [{m[1]: [float(m[n]) for n in (2, 3, 4)] for m in re.finditer(line, t, re.M)}
            for t in tables]  # fmt: skip


def test_each_program_is_a_row_or_the_reason_why_not(run, golden, tmp_path):
    peer = pathlib.Path(__file__).with_name("fake_infer_peer.py")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {peer}\n")
    python.chmod(0o755)
    done = bench(run, golden / "huggingface_vit", f"--peer_python={python}")
    assert done.returncode == 0, done.stderr
    assert "torch 1.2.3" in done.stdout
    assert "onnxruntime " in done.stdout
    assert "batches of 1, median of 1 rounds:" in done.stdout
    found = rows(done.stdout)
    assert len(found) == 2
    ran = [name for name in ALL if "compiled" not in name and "OpenVINO" not in name]
    for table in found:
        assert list(table) == ran
        assert table["JAX"][1:] == [1.0, 0.0]
        assert table["onnxruntime float32"][2] < 1e-5
        assert 0 < table["onnxruntime int8"][2] < 0.1
        rate, times, difference = table["PyTorch eager"]
        assert rate == 100
        assert times == pytest.approx(100 / table["JAX"][0], abs=6e-3)
        assert 1 < difference <= 2
    assert "OpenVINO float32: not run: ModuleNotFoundError: No module named" in done.stdout
    assert "PyTorch compiled: not run: no compiler" in done.stdout


def test_without_a_peer_and_for_a_model_that_hugging_face_cannot_hold(run, golden):
    done = bench(run, golden / "keras_h5/fold_masked.h5")
    assert done.returncode == 0, done.stderr
    assert [list(table) for table in rows(done.stdout)] == [ALL[:3]] * 2
    assert "OpenVINO float32: not run: no --peer_python" in done.stdout
    assert re.search("^PyTorch eager: not run: .*output_mask", done.stdout, re.M)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--batch_sizes=1,0"], "--batch_sizes: expected numbers such as 1,8, found '1,0'"),
        (["--size=S/16"], "--size does not go with --model"),
        (["--peer_python=no/such/python"], "--peer_python=no/such/python"),
    ],
)
def test_mistakes_are_one_line(run, golden, words, part):
    done = bench(run, golden / "huggingface_vit", *words)
    assert done.returncode == 1
    assert part in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
