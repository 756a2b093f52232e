"""The demo, with few tweets and the tiny student: its steps, its last line, its control."""

import re

import tiny

NUMBER = r"(0\.\d{3}|1\.000)"


def test_one_seed(run, tmp_path):
    done = run(
        "vit_sentiment.demo",
        f"--out={tmp_path}",
        "--count=200",
        f"--config={tiny.CONFIG_FILE}",
        env=tiny.ENV,
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    line = rf"demo teacher={NUMBER} student={NUMBER} majority={NUMBER} report=(\S+)"
    match = re.fullmatch(line, last)
    assert match, last
    assert match[4] == f"{tmp_path}/evaluation/report.html"
    assert "<html" in (tmp_path / "evaluation" / "report.html").read_text()


def test_failing_step_is_one_line(run, tmp_path):
    done = run("vit_sentiment.demo", f"--out={tmp_path}", "--count=200", "--config=nowhere.py")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "nowhere.py" in done.stderr
