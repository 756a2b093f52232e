import os
import pathlib
import subprocess
import sys

import pytest

from vit_sentiment.runtime import startup

ROOT = pathlib.Path(__file__).parents[2]
TRAIN = ("--config=configs/demo.py", "--workdir=never-made")


@pytest.mark.parametrize("word", ["--help", "-h", "--helpshort", "-help"])
def test_every_word_for_help_exits_with_0(run, word):
    done = run("checkpoints.inspect", word)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--forward" in done.stdout


@pytest.mark.parametrize(
    ("verb", "args", "parts"),
    [
        ("vit_sentiment.serve", [], ["--model is required"]),
        ("vit_sentiment.serve", ["--model=x", "--port=99999"], ["--port=99999"]),
        ("vit_sentiment.serve", ["--model=x", "--host=203.0.113.9", "--port=0"],
         ["--host=203.0.113.9 --port=0: Cannot assign requested address"]),
        ("vit_sentiment.evaluate", ["--dta=x"], ["dta", "Did you mean", "data"]),
        ("input_pipeline.build", ["--cuont=3"], ["cuont", "Did you mean", "count"]),
        ("vit_sentiment.train", [*TRAIN, "stray"], ["unexpected argument 'stray'"]),
        ("vit_sentiment.train", [*TRAIN, "seed", "3"], ["unexpected argument 'seed'"]),
        ("checkpoints.inspect", ["a.npz", "b.npz"], ["unexpected argument 'b.npz'"]),
        ("checkpoints.inspect", [], ["missing argument FILE"]),
        ("vit_sentiment.train", TRAIN[:1], ["--workdir is required"]),
        ("vit_sentiment.train", TRAIN[1:], ["--config is required"]),
        ("vit_sentiment.distill", ["--out=x"], ["--tweets is required"]),
        ("vit_sentiment.evaluate", ["--weights=x.npz"], ["give --data or --benchmark"]),
        ("vit_sentiment.train", [*TRAIN, "--config.sede=3"],
         ["--config.sede=3", "unknown field 'sede'", "nearest: seed"]),
        ("vit_sentiment.train", [*TRAIN, "--config.seed=1", "--config.optimiser.name=adamw"],
         ["--config.optimiser.name=adamw: unknown field 'optimiser'; nearest: optimizer.name"]),
        ("vit_sentiment.train", ["--config=configs/no.py", TRAIN[1]],
         ["--config", "configs/no.py"]),
        ("vit_sentiment.train", ["--config=configs/no.py", TRAIN[1], "--config.seed=1"],
         ["--config", "configs/no.py"]),
        ("input_pipeline.build", ["--count=0"], ["--count=0"]),
        ("input_pipeline.build", ["--count=x"], ["--count=x"]),
        ("vit_sentiment.train", [*TRAIN, "--seeds="], ["--seeds: expected numbers", "found ''"]),
        ("checkpoints.inspect", ["x.npz", "--gelu=relu"], ["--gelu=relu", "tanh|exact"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line(run, verb, args, parts):
    done = run(verb, *args)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]
    assert not (ROOT / "never-made").exists()


@pytest.mark.parametrize(
    ("names", "words", "expected"),
    [
        (("NAME...",), [], "()"),
        (("NAME...",), ["a", "b"], "('a', 'b')"),
        (("FILE", "NAME..."), ["a"], "('a',)"),
        (("FILE", "NAME..."), ["a", "b", "c"], "('a', 'b', 'c')"),
        (("FILE", "NAME..."), [], "error: missing argument FILE; see --help"),
    ],
)
def test_a_last_argument_may_take_any_number_of_words(monkeypatch, capsys, names, words, expected):
    monkeypatch.setattr("sys.argv", ["verb", *words])
    with pytest.raises(SystemExit) as exit_:
        startup.run(lambda *values: print(values), "doc", arguments=names)
    captured = capsys.readouterr()
    assert (captured.out + captured.err).strip() == expected
    assert exit_.value.code == int(expected.startswith("error"))


@pytest.fixture
def verb(tmp_path, run):
    """A function that runs a module whose main has the given body."""

    def run_verb(body, *args):
        write_verb(tmp_path, body)
        return run("verb", *args, cwd=tmp_path)

    return run_verb


def write_verb(folder, body):
    (folder / "verb.py").write_text(
        "import os, signal, sys\n"
        "from vit_sentiment.runtime import startup\n"
        "from vit_sentiment.runtime.errors import UserError\n"
        f"def main():\n    {body}\n"
        "startup.run(main, 'doc')\n"
    )


def test_success_is_0(verb):
    done = verb("print('done')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_users_mistake_is_1_without_a_traceback(verb):
    done = verb("raise UserError('photo.jpg: empty')")
    assert (done.returncode, done.stderr) == (1, "error: photo.jpg: empty\n")


def test_a_defect_is_2_with_a_traceback(verb):
    done = verb("raise ValueError('oh')")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("ValueError: oh\n")
    assert 'verb.py", line 5' in done.stderr


def test_an_interrupt_is_130(verb):
    # Where these tests themselves run in the background, processes are born deaf to it.
    listen = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    done = verb(f"{listen}; os.kill(os.getpid(), signal.SIGINT)")
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_closed_output_is_no_error(tmp_path):
    write_verb(tmp_path, "print('a line')")
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m verb >&-', sys.executable],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("count", [1, 100_000])
def test_a_reader_that_goes_away_is_no_error(tmp_path, count):
    write_verb(tmp_path, f"for _ in range({count}): print('a line')")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "verb"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("closed", "expected"),
    [("<&-", ("\n", "told\n")), (">&-", ("", "told\n")), ("2>&-", ("in\n", ""))],
)
def test_a_stream_that_is_closed_is_an_empty_one(tmp_path, closed, expected):
    write_verb(tmp_path, "print('told', file=sys.stderr); print(sys.stdin.buffer.read().decode())")
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m verb {closed}', sys.executable],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input="in",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, *expected)
