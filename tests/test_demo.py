"""The demo, with few tweets and the tiny student: its steps, its last line, its control."""

import pathlib
import re

import tiny
import verbs
from absl import flags

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


def test_several_seeds_and_the_control(monkeypatch, capsys):
    """Each is a demo as above; here their results are given."""

    def student(out, seed, *, shuffle_texts):
        accuracy = 0.333 if shuffle_texts else 0.9 + seed / 100
        name = "shuffled" if shuffle_texts else f"seed-{seed}"
        assert out == pathlib.Path("runs/demo-seeds", name)
        teacher = {"accuracy": 0.8}
        return {"teacher": teacher, "model": {"accuracy": accuracy, "majority": 0.35}}, out

    demo = verbs.load("vit_sentiment.demo")
    monkeypatch.setattr(demo, "_student", student)
    with verbs.flags_of("vit_sentiment.demo"):
        flags.FLAGS(["demo", "--out=runs/demo-seeds", "--seeds=0,1,2"])
        demo.main()
    assert capsys.readouterr().out.splitlines() == [
        *(f"seed {n}: teacher=0.800 student=0.9{n}0 majority=0.350" for n in range(3)),
        "demo-seeds mean=0.910 worst=0.900 shuffled=0.333 majority=0.350",
    ]


def test_failing_step_is_one_line(run, tmp_path):
    done = run("vit_sentiment.demo", f"--out={tmp_path}", "--count=200", "--config=nowhere.py")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "nowhere.py" in done.stderr
