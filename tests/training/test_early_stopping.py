"""When a run ends early: the rule against a naive statement of it, and real runs."""

import itertools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import strategies as st

from checkpoints.orbax_store import UNSCORED, Checkpoints
from configs import common
from vit_sentiment.inference.model import load
from vit_sentiment.reporting import metric_log
from vit_sentiment.training import run as training_run
from vit_sentiment.training import validation
from vit_sentiment.training.loop import Member, Run, train_loop
from vit_sentiment.training.plan import Stage
from vit_sentiment.training.step import TrainState

pytestmark = pytest.mark.usefixtures("quick_compilation")


def enough(scores, patience, min_delta=0.0):
    config = common.get_config()
    config.early_stopping.update(patience=patience, min_delta=min_delta)
    return validation.enough(config, scores)


@pytest.mark.parametrize(
    ("scores", "patience", "min_delta", "expected"),
    [
        ([], 1, 0.0, False),
        ([0.5], 1, 0.0, False),
        ([0.5, 0.5], 1, 0.0, True),
        ([0.5, 0.6], 1, 0.0, False),
        ([0.5, 0.4], 2, 0.0, False),
        ([0.5, 0.4, 0.3], 2, 0.0, True),
        ([0.5, 0.4, 0.6], 2, 0.0, False),
        ([0.5, 0.4, 0.45], 2, 0.0, True),
        ([0.5, 0.4, 0.5], 2, 0.0, True),
        ([0.5, 0.55, 0.6], 1, 0.1, True),
        # Small steps add up: the third is better by more than 0.1 than the one that counts.
        ([0.5, 0.55, 0.65], 2, 0.1, False),
        ([-0.9, -0.8, -0.85, -0.81], 2, 0.0, True),
        ([0.5, 0.4, 0.3, 0.2], 0, 0.0, False),
        ([UNSCORED, UNSCORED], 1, 0.0, True),
        ([UNSCORED, 0.1], 1, 0.0, False),
    ],
)
def test_the_rule_by_example(scores, patience, min_delta, expected):
    assert enough(scores, patience, min_delta) is expected


@hypothesis.given(
    st.lists(st.integers(-4, 4), max_size=9), st.integers(1, 4), st.sampled_from((0, 1, 2))
)
def test_the_rule_is_the_naive_one(scores, patience, min_delta):
    """The last to be better, by enough, than each that was so before it is `patience` ago."""
    records = []
    for number, score in enumerate(scores):
        if all(score > scores[record] + min_delta for record in records):
            records.append(number)
    expected = bool(scores) and len(scores) - 1 - records[-1] >= patience
    assert enough(scores, patience, min_delta) == expected


def test_a_validation_that_is_no_number_is_the_worst():
    config = tiny.config("", validation__metric="log_loss")
    for value in (None, float("nan"), float("inf")):
        assert validation.score(config, {"validation/log_loss": value}) == UNSCORED


def test_members_end_one_by_one_and_the_loop_with_the_last(tmp_path):
    """Two runs side by side, the first ends at its third validation, the second at its fourth."""
    scores = {"a": [0.5, 0.6, 0.4, 0.9, 0.9], "b": [0.1, 0.2, 0.3, 0.2, 0.9]}
    left = {name: iter(values) for name, values in scores.items()}
    asked = []

    def step(state, batch):
        names = ("loss", "accuracy", "learning_rate", "gradient_norm", "update_norm")
        return state._replace(step=state.step + 1), {name: jnp.ones(2) for name in names}

    def validate(params):
        name = "ab"[int(params["w"])]
        asked.append(name)
        return {"score": next(left[name])}

    run = Run(
        stages=[Stage("all", 0, 5, lambda step: 0.1)],
        steps=[step],
        put=lambda batches: batches,
        split=lambda s: [TrainState(s.step, {"w": jnp.int32(i)}, {}, s.key) for i in range(2)],
        enough=lambda values: enough(values, 1),
        score=lambda values: values["validation/score"],
        validation_steps=frozenset(range(1, 6)),
        batch_size=1,
        log_every=1,
    )
    batch = {"mask": np.ones(1, bool), "index": np.zeros(1, np.int64)}
    state = TrainState(jnp.int32(0), {}, {}, jax.random.key(0))
    with (
        Checkpoints(tmp_path / "a") as a,
        Checkpoints(tmp_path / "b") as b,
        metric_log.MetricLog(tmp_path / "a", 0) as log_a,
        metric_log.MetricLog(tmp_path / "b", 0) as log_b,
    ):
        members = [
            Member(
                name,
                checkpoints,
                log,
                [],
                itertools.repeat(batch),
                validate=validate,
                unreadable=lambda numbers: None,
            )
            for name, checkpoints, log in (("a", a, log_a), ("b", b, log_b))
        ]
        assert train_loop(run, state, members, 0, lambda step: False)
    assert "".join(asked) == "ababab" + "b"
    assert tiny.latest_step(tmp_path / "a") == 3
    assert tiny.latest_step(tmp_path / "b") == 4
    steps = {n: [row["step"] for row in metric_log.read(tmp_path / n)] for n in scores}
    assert max(steps["a"]) == 3
    assert max(steps["b"]) == 4


@pytest.fixture(scope="module")
def config(distilled):
    """Nothing improves by more than 1, so that the second of five validations, at 8, is the last.

    The average is what is selected by; it differs from the raw parameters.
    """
    value = tiny.config(
        distilled, ema_decay=0.9, validation__weights="ema", validation__every_epochs=0,
        validation__every_steps=4, early_stopping__patience=1, early_stopping__min_delta=1.0,
    )  # fmt: skip
    value.stages = (common.stage(steps=20, learning_rate=1e-2),)
    return value


@pytest.fixture(scope="module")
def ended(config, tmp_path_factory):
    """Workdir of a run that ended early."""
    workdir = tmp_path_factory.mktemp("ended") / "run"
    assert training_run.train(config, workdir, lambda step: False)
    return workdir


def validations(workdir):
    return [row["step"] for row in metric_log.read(workdir) if "validation/accuracy" in row]


def test_a_run_ends_early_and_is_complete(ended):
    assert validations(ended) == [4, 8]
    assert tiny.latest_step(ended) == 8
    rows = [row["step"] for row in metric_log.read(ended) if "train/loss" in row]
    assert rows == list(range(1, 9))


def test_its_best_file_is_the_average_of_the_best_validation(ended):
    scores = {
        row["step"]: row["validation_ema/macro_f1"]
        for row in metric_log.read(ended)
        if "validation_ema/macro_f1" in row
    }
    best = load(ended, checkpoint="best-ema")
    assert scores[best.step] == max(scores.values())
    assert load(ended / "best.npz").model_id == best.model_id
    assert load(ended, checkpoint="best").model_id != best.model_id


def test_starting_it_again_does_nothing(config, ended, capsys):
    noted = ("run.json", "manifest.json")  # That it was started.
    files = [p for p in ended.rglob("*") if p.is_file() and p.name not in noted]
    before = {path: path.stat().st_mtime_ns for path in files}
    assert training_run.train(config, ended, lambda step: False)
    assert "training is already complete at step 8" in capsys.readouterr().err
    assert sorted(p for p in ended.rglob("*") if p.is_file() and p.name not in noted) == sorted(
        files
    )
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_resumed_run_counts_the_validations_before_it_stopped(config, ended, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert not training_run.train(config, workdir, lambda step: step == 6)
    assert tiny.latest_step(workdir) == 6
    assert not (workdir / "best.npz").exists()
    assert training_run.train(config, workdir, lambda step: False)
    assert "step 8: 2 validations, no better; ends early" in capsys.readouterr().err
    assert validations(workdir) == [4, 8]
    tiny.assert_identical(tiny.saved(workdir), tiny.saved(ended))
    assert (workdir / "best.npz").read_bytes() == (ended / "best.npz").read_bytes()
