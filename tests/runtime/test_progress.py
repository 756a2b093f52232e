import io
import itertools
import re

import pytest

from vit_sentiment.runtime import progress


@pytest.fixture
def clock(monkeypatch):
    """Time goes on by the given number of seconds at each look at it."""

    def set_clock(step):
        ticks = itertools.count(100, step)
        monkeypatch.setattr(progress.time, "monotonic", lambda: next(ticks))

    return set_clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_say_writes_to_stderr_alone(capsys):
    progress.say("a word")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "a word\n")


def test_lines_tell_done_total_rate_and_time_left(capsys, clock):
    clock(20.0)
    with progress.progress("train", 10, "steps") as tick:
        tick(2, "loss 0.5")
        tick(3)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "train: 2/10 steps, 0.1/s, 80 s left loss 0.5",
        "train: 5/10 steps, 0.1/s, 40 s left ",
        "train: 5/10 steps in 60.0 s, 0.1/s",
    ]


def test_lines_do_not_come_more_often_than_they_should(capsys, clock):
    clock(1.0)
    with progress.progress("train", 100, "steps") as tick:
        for _ in range(40):
            tick()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3  # At 15 and at 30 seconds, and the end.
    assert lines[-1].startswith("train: 40/100 steps in ")


def test_what_an_interrupted_run_did_counts_into_the_total_and_not_into_the_rate(capsys, clock):
    clock(20.0)
    with progress.progress("train", 100, "steps", done=60) as tick:
        tick(20)
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("train: 80/100 steps, 1.0/s, 20 s left")
    assert last == "train: 80/100 steps in 40.0 s, 0.5/s"


def test_nothing_done_says_nothing(capsys):
    with progress.progress("train", 100, "steps", done=60):
        pass
    assert capsys.readouterr().err == ""


def test_an_error_passes_through(capsys):
    with pytest.raises(ValueError, match="oh"), progress.progress("train", 2, "steps"):
        raise ValueError("oh")


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress.progress("train", 8, "steps", done=2) as tick:
        for _ in range(5):
            tick(note="loss 0.25")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "train" in shown
    assert "7/8" in shown
    assert "steps/s loss 0.25" in shown
