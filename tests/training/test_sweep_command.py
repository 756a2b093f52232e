"""The command `sweep`, as a user runs it."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest
import tiny

from vit_sentiment.reporting import metric_log


def sweep_command(distilled, folder, *extra):
    return [
        "vit_sentiment.sweep",
        f"--config={tiny.CONFIG_FILE}",
        f"--config.data.train={distilled}",
        f"--workdir={folder}",
        *extra,
    ]


def test_the_command_goes_on_after_a_point_that_fails_and_exits_with_1(distilled, tmp_path, run):
    arguments = sweep_command(distilled, tmp_path, "--grid=stages[0].learning_rate=1e36,1e-2")
    done = run(*arguments, env=tiny.ENV)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: 1 of 2 points failed; the table says why"
    assert "One seed for each point" in done.stderr
    with open(tmp_path / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["stages[0].learning_rate"] for r in rows] == ["0.01", "1e+36"]
    assert 0 < float(rows[0]["macro_f1_mean"]) <= 1
    assert "NaN or infinity at step 1" in rows[1]["error"]
    assert " failed " in done.stdout
    assert f"report: {tmp_path / 'sweep.html'}" in done.stdout


def test_a_shard_takes_its_points_and_stops_with_success_and_the_line_that_resumes(
    distilled, tmp_path
):
    changes = ("--grid=stages[1].epochs=300.0,301.0", "--config.validation.every_epochs=50")
    arguments = sweep_command(distilled, tmp_path, *changes, "--shard=1/2")
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=tiny.CONFIG_FILE.parents[1],
        env=os.environ | tiny.ENV | {"PYTHONPATH": ".", "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workdir = tmp_path / "stages.1.epochs=301.0" / "seed-0"
    while process.poll() is None and len(metric_log.read(workdir)) < 5:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "resume with: python -m vit_sentiment.sweep --config=" in out
    assert tiny.latest_step(workdir) >= 5
    assert "2 of 2 points are not complete." in err
    assert not (tmp_path / "stages.1.epochs=300.0").exists()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--grid=optimiser.name=lion"], "--grid=optimiser.name=lion: unknown field 'optimiser'; "
         "nearest: optimizer.name"),
        (["--grid=seed=1", "--shard=2/2"], "--shard: expected I/N with I from 0 to N-1, found"),
        ([], "--grid is required"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_told_in_one_line(
    distilled, tmp_path, run, extra, message
):
    done = run(*sweep_command(distilled, tmp_path / "none", *extra))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")
    assert not (tmp_path / "none").exists()
