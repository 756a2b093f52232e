"""`train --seeds` as a user types it."""

import json
import pathlib

import pytest
import tiny

from vit_sentiment.reporting import metric_log

ROOT = pathlib.Path(__file__).parents[2]


def test_the_command_trains_each_seed(distilled, trained, run, tmp_path):
    """The first seed is that of a run without the flag, and ends with its weights."""
    done = run(
        "vit_sentiment.train",
        f"--config={tiny.CONFIG_FILE}",
        f"--config.data.train={distilled}",
        f"--workdir={tmp_path / 'run'}",
        "--seeds=0,1",
        env=tiny.ENV,
    )
    assert done.returncode == 0, done.stderr
    assert "resume with" not in done.stdout
    for seed in range(2):
        workdir = tmp_path / "run" / f"seed-{seed}"
        assert f"{workdir}: complete at step 40" in done.stderr
        assert (workdir / "best.npz").exists()
        assert json.loads((workdir / "run.json").read_text())["config"]["seed"] == seed
        assert len(metric_log.read(workdir)) == len(metric_log.read(trained))
    tiny.assert_identical(tiny.saved(tmp_path / "run" / "seed-0"), tiny.saved(trained))


WRONG = {
    "--seeds=0,1,0": "a seed is named twice in 0,1,0",
    "--seeds=1,01": "a seed is named twice",
    "--seeds=0,one": "expected numbers such as 0,1,2, found '0,one'",
    "--seeds=0,,1": "expected numbers",
    "--seeds=-1": "expected numbers",
    "--seeds=1.5": "expected numbers",
    "--seeds=": "expected numbers",
}


SCRIPT = """
import sys
from absl import flags
from vit_sentiment import train
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

flags.FLAGS([*sys.argv[:3], "--workdir=unused"])
print(train.CONFIG.value.loss.noise_matrix)
for text in sys.argv[3:]:
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["train", "--workdir=unused", text])
    try:
        print(startup.seeds(train.SEEDS))
    except UserError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def parsed(run, tmp_path_factory):
    """What flags become, a line each: in one process, since starting one takes a second."""
    folder = tmp_path_factory.mktemp("parsed")
    (folder / "each.py").write_text(SCRIPT)
    config = ROOT / "configs" / "common.py"
    matrix = "--config.loss.noise_matrix=((0.8,0.1,0.1),(0.1,0.8,0.1),(0,0.1,0.9))"
    done = run("each", f"--config={config}", matrix, *WRONG, "--seeds=3, 1", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_noise_matrix_can_be_typed(parsed):
    assert parsed[0] == "((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0, 0.1, 0.9))"


def test_malformed_seeds_are_told_in_one_line(parsed):
    assert parsed[-1] == "[3, 1]"
    for line, expected in zip(parsed[1:-1], WRONG.values(), strict=True):
        assert line.startswith("--seeds: ")
        assert expected in line
