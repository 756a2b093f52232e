"""The commands of `study`, as a user runs them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tiny

from vit_sentiment.reporting import metric_log
from vit_sentiment.studying.drawn import LABELLED

SMALL = (
    "--config.model.hidden_size=16", "--config.model.num_layers=1", "--config.model.num_heads=2",
    "--config.model.mlp_size=32", "--config.stages[0].epochs=1",
    "--config.stages[0].warmup_steps=0",
)  # fmt: skip
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # They take longer than such runs.


def test_methods_from_the_drawing_to_the_table(run, tmp_path):
    done = run(
        "vit_sentiment.study", "noise", f"--out={tmp_path}", "--count=200", "--seeds=0",
        "--noises=real", "--methods=forward,gce", *SMALL,
        env=tiny.ENV | QUICK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "--confusion=.59/.33/.08,.22/.49/.29,.10/.39/.51" in done.stderr
    assert "One seed: the order of the rows may be luck." in done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("real ")]
    assert [row[1] for row in rows] == ["hard", "forward", "gce", "teacher", "majority"]
    assert all(0 < float(row[2]) < 1 for row in rows)
    assert "resume with" not in done.stdout
    assert done.stdout.splitlines()[-1] == f"report: {tmp_path / 'noise.html'}"
    assert not list(tmp_path.rglob("*.tmp"))


def test_stopped_it_saves_exits_with_success_and_tells_how_to_go_on(distilled, tmp_path):
    shutil.copytree(distilled, tmp_path / "real/seed-0/data" / LABELLED)  # Drawn already.
    arguments = [
        "noise", f"--out={tmp_path}", "--count=200", "--seeds=0", "--noises=real", "--methods=gce",
        *SMALL, "--config.stages[0].epochs=3000", "--config.validation.every_epochs=1000",
        "--config.log_every=1",
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "vit_sentiment.study", *arguments],
        cwd=tiny.CONFIG_FILE.parents[1],
        env=os.environ | tiny.ENV | QUICK | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workdir = tmp_path / "real" / "seed-0" / "hard"
    while process.poll() is None and len(metric_log.read(workdir)) < 3:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "resume with: python -m vit_sentiment.study noise --out=" in out
    assert tiny.latest_step(workdir) >= 3
    assert "Not complete, and so not in the table: real/hard, real/gce." in err
    assert not (tmp_path / "real" / "seed-0" / "gce").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--methods=hrad", "--methods: expected some of hard, soft, mixed, forward, forward-given, "
         "gce, agreement; found 'hrad'"),
        ("--noises=", "--noises: expected some of uniform, real; found ''"),
        ("--seeds=a", "--seeds: expected numbers such as 0,1,2, found 'a'"),
        ("--config.data.label=human_label", "--config.data.label: expected teacher_label, found "
         "human_label"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line(run, tmp_path, flag, message):
    done = run("vit_sentiment.study", "noise", f"--out={tmp_path / 'none'}", flag)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {message}\n"
    assert not (tmp_path / "none").exists()


def test_matrix_prints_an_option_that_train_takes(run, trained, distilled, tmp_path):
    done = run(
        "vit_sentiment.study", "matrix", f"--workdir={trained}", f"--data={distilled}",
        env=tiny.ENV,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    number = r"[01]\.\d{4}"
    row = rf"\({number},{number},{number}\)"
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(rf"'--config\.loss\.noise_matrix=\({row},{row},{row}\)'", last)


def test_matrix_refuses_photos_that_the_run_was_trained_on(run, trained, distilled):
    done = run(
        "vit_sentiment.study", "matrix", f"--workdir={trained}", f"--data={distilled}",
        "--split=train",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "was trained on 160 of its groups (tweets)" in done.stderr.splitlines()[-1]
