"""Several seeds, one after another or in one vmapped step, against single runs."""

import json

import numpy as np
import pytest
import tiny

from configs import common
from vit_sentiment.inference.model import load
from vit_sentiment.reporting import metric_log
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import run as training_run
from vit_sentiment.training import workdir as workdirs

SEEDS, TOTAL, STOP = (0, 5), 8, 6
MODES = ("never", "always")
pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def config(distilled):
    """Eight steps in two stages, with dropout, augmentation and an average of the parameters.

    By SGD, which does not make much of gradients that are nothing but rounding, as Adam does.
    """
    value = tiny.config(
        distilled, ema_decay=0.9, augment__flip=0.5, validation__every_epochs=0,
        validation__every_steps=4, validation__metric="log_loss",
        optimizer__name="sgd",
    )  # fmt: skip
    value.stages = (
        common.stage(trainable="head", steps=3, learning_rate=1e-2),
        common.stage(steps=TOTAL - 3, learning_rate=1e-3),
    )
    return value


def never(step):
    return False


def stop_once(at):
    """Asks once to stop, when a run arrives at a step, and keeps asking."""
    asked = []

    def should_stop(step):
        asked.extend([step] * (step == at))
        return bool(asked)

    return should_stop


def train_seeds(config, workdir, mode, should_stop=never):
    return training_run.train_seeds(config, workdir, SEEDS, mode, should_stop)


@pytest.fixture(scope="module")
def singles(config, tmp_path_factory):
    """Workdirs of single runs, by seed."""
    folders = {seed: tmp_path_factory.mktemp("single") / "run" for seed in SEEDS}
    for seed, folder in folders.items():
        own = config.copy_and_resolve_references()
        own.seed = seed
        assert training_run.train(own, folder, never)
    return folders


@pytest.fixture(scope="module")
def together(config, tmp_path_factory):
    """The folder of both seeds, trained by one vmapped step."""
    folder = tmp_path_factory.mktemp("together") / "run"
    assert train_seeds(config, folder, "always")
    return folder


def metrics(workdir):
    """(step, name) to value, without speeds."""
    return {
        (row["step"], name): value
        for row in metric_log.read(workdir)
        for name, value in row.items()
        if name != "step" and not name.startswith("speed/")
    }


def assert_same(workdir, reference):
    """The same state, log and best weights, bit for bit."""
    tiny.assert_identical(tiny.saved(workdir, TOTAL), tiny.saved(reference, TOTAL))
    assert metrics(workdir) == metrics(reference)
    assert (workdir / "best.npz").read_bytes() == (reference / "best.npz").read_bytes()


def started(workdir):
    return (workdir / "run.json").exists() or (workdir / "checkpoints").exists()


def test_seeds_differ(singles):
    first, second = (tiny.saved(folder) for folder in singles.values())
    assert np.any(first["params['embedding']['kernel']"] != second["params['embedding']['kernel']"])


def test_seeds_stopped_at_different_steps_go_on_one_after_another(
    config, singles, tmp_path, capsys
):
    """Also: what stops one of them leaves the later ones alone."""
    assert not train_seeds(config, tmp_path, "never", stop_once(STOP))
    assert tiny.latest_step(tmp_path / "seed-0") == STOP
    assert not started(tmp_path / "seed-5")
    assert not (tmp_path / "seed-0" / "best.npz").exists()
    capsys.readouterr()
    assert train_seeds(config, tmp_path, "always")
    told = capsys.readouterr().err
    assert "the runs stopped at different steps: they go on one after another" in told
    assert "seed 0: step 8: validation" in told
    for seed, single in singles.items():
        assert_same(tmp_path / f"seed-{seed}", single)


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_at_once_are_single_runs_but_for_rounding(together, singles, seed):
    workdir, single = together / f"seed-{seed}", singles[seed]
    found, expected = tiny.saved(workdir, TOTAL), tiny.saved(single, TOTAL)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5, err_msg=name)
    assert metrics(workdir) == pytest.approx(metrics(single), abs=1e-5)
    names = {name for _, name in metrics(workdir)}
    assert {"train/loss", "validation/log_loss", "validation_ema/log_loss"} < names


@pytest.mark.parametrize("seed", SEEDS)
def test_the_workdir_of_a_seed_is_an_ordinary_one(config, together, singles, seed, capsys):
    workdir = together / f"seed-{seed}"
    names = {path.name for path in workdir.iterdir()}
    assert names == {path.name for path in singles[seed].iterdir()}
    assert json.loads((workdir / "run.json").read_text())["config"]["seed"] == seed
    assert workdirs.recipe(workdir) == workdirs.recipe(singles[seed])
    assert load(workdir / "best.npz").model_id == load(workdir).model_id
    before = (workdir / "metrics.jsonl").read_bytes()
    own = config.copy_and_resolve_references()
    own.seed = seed
    assert training_run.train(own, workdir, never)
    assert "already complete at step 8" in capsys.readouterr().err
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_stopped_seeds_at_once_end_as_if_nobody_had_stopped_them(
    config, together, tmp_path, capsys
):
    assert not train_seeds(config, tmp_path, "always", stop_once(STOP))
    assert [tiny.latest_step(tmp_path / f"seed-{seed}") for seed in SEEDS] == [STOP, STOP]
    assert train_seeds(config, tmp_path, "always")
    assert "resuming seed 0, seed 5 at step 6" in capsys.readouterr().err
    for seed in SEEDS:
        assert_same(tmp_path / f"seed-{seed}", together / f"seed-{seed}")


def test_more_seeds_can_be_added_later(config, singles, tmp_path, capsys):
    assert training_run.train_seeds(config, tmp_path, SEEDS[:1], "always", never)
    capsys.readouterr()
    assert train_seeds(config, tmp_path, "never")
    assert "seed-0: training is already complete" in capsys.readouterr().err
    for seed, single in singles.items():
        assert_same(tmp_path / f"seed-{seed}", single)


def test_on_a_cpu_seeds_are_trained_one_after_another_unless_asked(config, tmp_path):
    assert not train_seeds(config, tmp_path, "auto", lambda step: step == 0)
    assert tiny.latest_step(tmp_path / "seed-0") == 0
    assert not started(tmp_path / "seed-5")


@pytest.mark.parametrize("mode", MODES)
def test_the_workdir_of_a_single_run_is_refused(config, singles, mode):
    before = sorted(path.name for path in singles[0].iterdir())
    with pytest.raises(UserError, match="is the workdir of a single run; choose another for"):
        train_seeds(config, singles[0], mode)
    assert sorted(path.name for path in singles[0].iterdir()) == before


def test_a_single_run_in_the_folder_of_seeds_is_refused(config, together):
    with pytest.raises(UserError, match="not empty and not the workdir of a run"):
        training_run.train(config, together, never)


def test_the_seed_that_is_not_finite_is_named(config, tmp_path):
    broken = config.copy_and_resolve_references()
    broken.stages[0].learning_rate = 1e39
    with pytest.raises(UserError, match="seed 0: NaN or infinity at step 1:"):
        train_seeds(broken, tmp_path, "always")
