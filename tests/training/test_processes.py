"""Two processes on loopback train as one does."""

import functools
import socket

import pytest
import tiny

from vit_sentiment.reporting import metric_log


@pytest.fixture(scope="module")
def two(distilled, tmp_path_factory, run):
    """Workdir of the tiny run, trained by two processes."""
    workdir = tmp_path_factory.mktemp("two") / "run"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = functools.partial(
        run,
        "vit_sentiment.train",
        f"--config={tiny.CONFIG_FILE}",
        f"--config.data.train={distilled}",
        f"--workdir={workdir}",
        f"--coordinator=127.0.0.1:{port}",
        "--num_processes=2",
        env=tiny.ENV,
    )
    done = tiny.together({i: functools.partial(start, f"--process_id={i}") for i in range(2)})
    for process in done.values():
        assert process.returncode == 0, process.stderr
    return workdir


def test_losses_equal_one_process(two, trained):
    def losses(workdir):
        return {r["step"]: r["train/loss"] for r in metric_log.read(workdir) if "train/loss" in r}

    assert losses(two).keys() == losses(trained).keys()
    assert losses(two) == pytest.approx(losses(trained), abs=1e-5)


def test_each_row_is_written_once(two):
    names = [(row["step"], *sorted(row)) for row in metric_log.read(two)]
    assert len(names) == len(set(names)) > 0


def test_coordinator_needs_the_other_two(run, tmp_path):
    done = run(
        "vit_sentiment.train",
        f"--config={tiny.CONFIG_FILE}",
        f"--workdir={tmp_path / 'run'}",
        "--coordinator=127.0.0.1:1",
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: --coordinator=HOST:PORT needs --num_processes and --process_id"
    )
