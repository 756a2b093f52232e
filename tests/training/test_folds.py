"""Folds and splits, against scikit-learn; their configs; their runs, one by one or at once."""

import functools
import itertools

import hypothesis
import jax
import numpy as np
import pytest
import sklearn.model_selection
import tiny
from hypothesis import strategies as st

from checkpoints import google_npz
from configs import common, cross_validate
from input_pipeline.loader import LoadSettings, evaluation_batches
from input_pipeline.records import CLASSES
from input_pipeline.sources import source_of_rows
from input_pipeline.tables import Row
from vit_sentiment.inference.model import load
from vit_sentiment.models.classifier import init_params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import folds, run
from vit_sentiment.training.setup import prepare

SMALL = ModelDescription(
    image_size=(8, 8), patch_size=8, hidden_size=8, num_layers=1, num_heads=2, mlp_size=16,
    head_hidden=4, gelu="exact", layer_norm_epsilon=1e-5, input_range=(0.0, 1.0),
)  # fmt: skip
POLAR = np.array([0, 2, 2, 0, 2, 2, 0, 0, 2, 2, 0, 2])


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A file of random weights."""
    path = tmp_path_factory.mktemp("start") / "start.npz"
    init = jax.jit(functools.partial(init_params, SMALL))  # Compiles faster than piecemeal.
    google_npz.write(path, init(jax.random.key(3)), SMALL)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """12 photos of noise, labelled negative or positive."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    noise = np.random.default_rng(0).integers(0, 256, (len(POLAR), 8, 8, 3), np.uint8)
    rows = []
    for number, (pixels, label) in enumerate(zip(noise, POLAR, strict=True)):
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path)
        rows.append(Row(path, int(label), str(number), f"group {number}", f"list:{number}"))
    return source_of_rows(rows, "noise", "test", CLASSES)


def ids(source):
    return [int(name) for name in source.index["id"]]


@hypothesis.given(
    labels=st.lists(st.sampled_from([0, 2]), min_size=4, max_size=60),
    count=st.integers(2, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_indices_are_those_of_scikit_learn(labels, count, seed):
    labels = np.array(labels)
    least = min(np.sum(labels == 0), np.sum(labels == 2))
    hypothesis.assume(least >= count)
    splitter = sklearn.model_selection.StratifiedKFold(count, shuffle=True, random_state=seed)
    # The original's labels are 0 and 1, in a column.
    expected = splitter.split(np.zeros(len(labels)), labels[:, None] // 2)
    found = folds.fold_indices(labels, count, seed)
    for (train, test), (their_train, their_test) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(train, their_train)
        np.testing.assert_array_equal(test, their_test)
        assert np.all(np.diff(train) > 0)


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        ([0, 0, 2, 2, 2], 3, "--folds: expected 2 to 2, the rows of the rarest class; found 3"),
        ([0, 0, 0], 2, "--folds: expected rows of two classes or more, found one"),
        ([], 2, "--folds: expected rows of two classes or more, found one"),
    ],
)
def test_too_many_folds_are_an_error(labels, count, message):
    with pytest.raises(UserError) as error:
        folds.fold_indices(np.array(labels, int), count, 0)
    assert str(error.value) == message


def test_folds_are_parts_of_the_benchmark_in_its_order(source):
    made = folds.make_folds(source, 5, 42)
    assert [part.name for part in made] == ["0", "1", "2", "3", "4"]
    for part, (train, test) in zip(made, folds.fold_indices(POLAR, 5, 42), strict=True):
        assert (ids(part.train), ids(part.test)) == (train.tolist(), test.tolist())
        np.testing.assert_array_equal(part.train.labels("human_label"), POLAR[train])
        assert part.validation is part.test
    assert len({part.train.fingerprint for part in made}) == 5
    assert sorted(i for part in made for i in ids(part.test)) == list(range(12))


def test_what_is_taken_is_read_as_before(source):
    numbers = np.array([7, 2, 11])
    taken = source.take(numbers, "some")
    assert (len(taken), taken.split, taken.name) == (3, "some", "noise")
    everything = [(record.id, record.image) for record in source.records()]
    found = [(record.id, record.image) for record in taken.records()]
    assert found == [everything[number] for number in numbers]
    assert taken.data.place(0) == source.data.place(7)
    settings = LoadSettings((8, 8), "exact", "human_label", num_workers=1)  # It is pickled.
    with evaluation_batches(taken, settings, batch_size=4) as batches:
        (batch,) = batches
    assert batch["label"].tolist()[:3] == POLAR[numbers].tolist()
    again = taken.take(np.array([2]), "one")
    assert ids(again) == [11]


def test_given_splits_are_opened_by_number_and_part():
    opened = folds.given_splits("FI", lambda name, part: (name, part))
    assert [part.name for part in opened] == ["1", "2", "3", "4", "5"]
    second = opened[1]
    found = (second.train, second.validation, second.test)
    assert found == tuple(("FI_split_2", part) for part in ("train", "validation", "test"))
    assert second.kind == "split"


def test_the_config_is_the_originals_and_the_model_its_own():
    config = folds.complete_config(cross_validate.get_config(), SMALL, "x.npz", folds.FOLDS)
    assert config.init_from == "x.npz"
    assert config.init_head == "keep"
    assert config.model.output_mask == (1.0, 1e-7, 1.0)
    for name in ("image_size", "hidden_size", "gelu", "layer_norm_epsilon", "input_range"):
        assert config.model[name] == getattr(SMALL, name)
    assert config.model.head_hidden == 4
    assert (config.model.dropout, config.data.batch_size) == (0.1, 32)
    (stage,) = config.stages
    assert (stage.epochs, stage.learning_rate, stage.schedule) == (12.0, 1e-4, "constant")
    assert (stage.trainable, stage.warmup_steps) == ("all", 0)
    assert (config.optimizer.name, config.optimizer.eps) == ("radam", 1e-7)
    assert (config.loss.class_weights, config.loss.label_smoothing) == ("none", 0.0)
    assert (config.validation.every_steps, config.validation.every_epochs) == (0, 0)
    assert config.early_stopping.patience == 0
    given = folds.complete_config(cross_validate.get_config(), SMALL, "x.npz", folds.SPLITS)
    assert given.model.output_mask == ()
    assert given.stages[0].epochs == 5.0
    assert (given.validation.every_steps, given.validation.every_epochs) == (200, 1)
    assert given.validation.metric == "binary_accuracy"
    assert cross_validate.get_config("original").data.shuffle is False


def test_a_value_of_ones_own_takes_precedence():
    config = cross_validate.get_config()
    config.stages[0].steps = 7
    config.validation.every_steps = 3
    config.init_head, config.model.head_hidden = "fresh", 6
    own = folds.complete_config(config, SMALL, "x.npz", folds.SPLITS)
    assert (own.stages[0].steps, own.stages[0].epochs) == (7, 0.0)
    assert (own.validation.every_steps, own.validation.every_epochs) == (3, 1)
    assert own.model.head_hidden == 6
    config.stages = (common.stage(epochs=1.0), common.stage(epochs=2.0))
    own = folds.complete_config(config, SMALL, "x.npz", folds.SPLITS)
    assert [stage.epochs for stage in own.stages] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("init_from", "y.npz", "--model tells that"),
        ("data.train", "tweets", "--benchmark tells that"),
        ("validation.every_steps", 5, "a fold has no validation part and is judged by its last"),
        ("validation.every_epochs", 1, "a fold has no validation part and is judged by its last"),
        ("early_stopping.patience", 2, "a fold has no validation part and is judged by its last"),
    ],
)
def test_what_contradicts_or_lets_the_judged_photos_select_is_refused(field, value, told):
    config = cross_validate.get_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(UserError, match=rf"^config\.{field}: {told}"):
        folds.complete_config(config, SMALL, "x.npz", folds.FOLDS)


def test_other_weights_than_those_of_an_earlier_part_are_refused(tmp_path):
    files.write_json(tmp_path / "fold-0" / "manifest.json", {"initial_weights": "abc"})
    workdirs = [tmp_path / "fold-0", tmp_path / "fold-1"]
    folds.check_start(workdirs, "abc")
    with pytest.raises(UserError, match=r"fold-0: started from weights abc, --model has def now"):
        folds.check_start(workdirs, "def")


def jobs(source, start, folder, count, **changes):
    config = cross_validate.get_config()
    config.data.batch_size = 4
    config.data.num_threads = 1
    config.log_every = 1
    config.stages[0].update(epochs=2.0, learning_rate=1e-2)
    config.update(changes)
    config = folds.complete_config(config, SMALL, str(start), folds.FOLDS)
    parts = folds.make_folds(source, count, 0)
    return [run.Job(config, folder / part.name, part.name, part.data) for part in parts]


def never(step):
    return False


@pytest.fixture(scope="module")
def whole(source, start, tmp_path_factory):
    """Workdirs of three folds of 4 steps that nobody stopped."""
    trained = jobs(source, start, tmp_path_factory.mktemp("whole"), 3)
    assert run.train_jobs(trained, "never", never)
    return [job.workdir for job in trained]


def test_every_fold_starts_from_the_file_and_the_last_weights_are_the_best(whole, start):
    weights = load(start).model_id
    ends = set()
    for workdir in whole:
        assert files.read_json(workdir / "manifest.json")["initial_weights"] == weights
        assert load(workdir, checkpoint="best").step == 4
        latest = load(workdir, checkpoint="latest")
        assert (latest.step, latest.model_id) == (4, load(workdir / "best.npz").model_id)
        assert latest.description.output_mask == (1.0, 1e-7, 1.0)
        ends.add(latest.model_id)
    assert len(ends) == 3
    assert weights not in ends


def test_a_finished_one_started_again_is_not_trained(source, start, whole, capsys):
    folder = whole[0].parent
    before = [(workdir / "metrics.jsonl").read_bytes() for workdir in whole]
    assert run.train_jobs(jobs(source, start, folder, 3), "never", never)
    told = capsys.readouterr().err
    assert told.count("training is already complete at step 4") == 3
    assert "train:" not in told
    assert [(workdir / "metrics.jsonl").read_bytes() for workdir in whole] == before


def test_stops_between_and_inside_folds_change_nothing(source, start, whole, tmp_path, capsys):
    """The first stop is before the second fold's first step, the next one inside that fold."""
    stopped = jobs(source, start, tmp_path, 3)
    workdirs = [job.workdir for job in stopped]
    calls = itertools.count()
    assert not run.train_jobs(stopped, "never", lambda step: next(calls) == 4)
    assert [tiny.latest_step(workdir) for workdir in workdirs[:2]] == [4, 0]
    assert not (workdirs[2] / "checkpoints").exists()
    before = (workdirs[0] / "metrics.jsonl").read_bytes()
    assert not run.train_jobs(stopped, "never", lambda step: step == 2)
    assert [tiny.latest_step(workdir) for workdir in workdirs[:2]] == [4, 2]
    assert not (workdirs[2] / "checkpoints").exists()
    assert f"{workdirs[0]}: training is already complete at step 4" in capsys.readouterr().err
    assert run.train_jobs(stopped, "never", never)
    for workdir, expected in zip(workdirs, whole, strict=True):
        tiny.assert_identical(tiny.saved(workdir), tiny.saved(expected))
    assert (workdirs[0] / "metrics.jsonl").read_bytes() == before


def test_folds_at_once_are_folds_one_after_another(source, start, whole, tmp_path):
    together = jobs(source, start, tmp_path, 3)
    assert run.train_jobs(together, "always", never)
    for job, expected in zip(together, whole, strict=True):
        found, alone = tiny.saved(job.workdir), tiny.saved(expected)
        assert found.keys() == alone.keys()
        for name, value in alone.items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5, err_msg=name)


def test_runs_that_are_validated_at_other_steps_are_other_runs(source, start):
    """9 and 10 photos make the same number of steps, but their first epochs end elsewhere."""
    config = cross_validate.get_config()
    config.data.batch_size = 3
    config.stages[0].epochs = 0.0
    config.stages[0].steps = 6
    config = folds.complete_config(config, SMALL, str(start), folds.SPLITS)
    setups = [prepare(config, (source.take(np.arange(n), "some"), source)) for n in (9, 10, 9)]
    assert [sorted(setup.validation_steps) for setup in setups] == [[3, 6], [4, 6], [3, 6]]
    assert setups[0].program != setups[1].program
    assert setups[0].program == setups[2].program
