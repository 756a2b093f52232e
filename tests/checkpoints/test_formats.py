"""A run can start from any format; what is restored of a workdir; what differs is said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from npz_files import assert_one_line, restore

from checkpoints import formats, orbax_store, trees
from checkpoints.orbax_store import Checkpoints
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.models.classifier import abstract_params
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

SENTIMENTS = ("negative", "neutral", "positive")
POSITIONS = "Transformer/posembed_input/pos_embedding"
KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def ema_run(tmp_path_factory, distilled):
    """Workdir of a complete run that averaged its parameters."""
    workdir = tmp_path_factory.mktemp("ema") / "run"
    assert tiny.train(tiny.config(distilled, ema_decay=0.9), workdir)
    return workdir


def make_workdir(folder, description, items):
    """A workdir with the step 7, without training."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(7, items, score=0.5)
    files.write_json(folder / orbax_store.DESCRIPTION_FILE, description.to_json())
    return folder


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory, golden):
    """Two workdirs of a model of three classes, with an average of its parameters and without."""
    description = restore(golden / "google_augreg/checkpoint.npz")[0].description.replace(
        num_classes=3, classes=SENTIMENTS, num_layers=1, head_hidden=8
    )
    rng = np.random.default_rng(0)
    items = {
        name: jax.tree.map(
            lambda leaf: jnp.float32(rng.normal(size=leaf.shape)), abstract_params(description)
        )
        for name in ("params", "ema")
    }
    folder = tmp_path_factory.mktemp("workdirs")
    without = {"params": items["params"]}
    return {
        "ema": make_workdir(folder / "with", description, items),
        "plain": make_workdir(folder / "without", description, without),
        "items": items,
    }


@pytest.fixture(scope="module")
def sources(golden, workdirs):
    """A path for each format; the second and the last have no class token."""
    return {
        "Google": golden / "google_original/checkpoint.npz",
        "big_vision": golden / "big_vision/gap.npz",
        "workdir": workdirs["plain"],
        "Hugging Face": golden / "siglip_hf",
    }


def assert_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def more_rows(table, grid, rows, slots):
    """Positions [1, T, D] for more rows of patches: linear between neighbours, corners kept."""
    first, rest = table[0, :slots], np.asarray(table[0, slots:]).reshape(*grid, -1)
    at = np.linspace(0, grid[0] - 1, rows)
    columns = np.apply_along_axis(lambda y: np.interp(at, np.arange(grid[0]), y), 0, rest)
    return np.concatenate([first, columns.reshape(rows * grid[1], -1)])[None]


@pytest.mark.parametrize("name", ["Google", "big_vision", "workdir", "Hugging Face"])
def test_a_run_starts_from_any_format(sources, name, capfd):
    described, params = restore(sources[name])
    theirs = described.description
    (rows, columns), side = theirs.grid, theirs.patch_size
    ours = theirs.replace(
        image_size=((rows + 2) * side, columns * side), num_classes=3, classes=SENTIMENTS,
        representation_size=None, head_hidden=6,
    )  # fmt: skip
    capfd.readouterr()
    found = trees.flatten(formats.initialise(sources[name], ours, KEY))
    assert "warning" not in capfd.readouterr().err
    backbone, head = trees.split_head(found)
    expected, _ = trees.split_head(trees.flatten(params))
    table = expected.pop(POSITIONS)
    resized = more_rows(table, (rows, columns), rows + 2, int(theirs.class_token))
    np.testing.assert_allclose(backbone.pop(POSITIONS), resized, atol=1e-6)
    assert_equal(backbone, expected)
    shapes = {layer: value.shape for layer, value in head.items()}
    assert shapes == {
        "head_hidden/kernel": (theirs.hidden_size, 6), "head_hidden/bias": (6,),
        "head_out/kernel": (6, 3), "head_out/bias": (3,),
    }  # fmt: skip
    assert all(head[f"{layer}/kernel"].all() for layer in ("head_hidden", "head_out"))


def test_a_fresh_head_is_the_keys(sources):
    ours = restore(sources["workdir"])[0].description
    heads = [
        formats.initialise(sources["workdir"], ours, jax.random.key(key))["head_out"]["kernel"]
        for key in (1, 1, 2)
    ]
    np.testing.assert_array_equal(heads[0], heads[1])
    assert (heads[0] != heads[2]).any()


@pytest.mark.parametrize("name", ["Google", "big_vision", "workdir"])
def test_a_head_of_the_same_classes_is_kept(sources, name):
    described, params = restore(sources[name])
    found = formats.initialise(sources[name], described.description, KEY, keep_head=True)
    assert_equal(found, params)


@pytest.mark.parametrize(
    "classes", [("positive", "neutral", "negative"), ("negative", "positive"), ()]
)
def test_a_head_of_other_classes_is_refused(sources, classes):
    ours = restore(sources["workdir"])[0].description
    ours = ours.replace(num_classes=len(classes) or 3, classes=classes)
    with pytest.raises(UserError, match=r"its head tells \['negative', .*init_head=fresh") as error:
        formats.initialise(sources["workdir"], ours, KEY, keep_head=True)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(sources["workdir"]))


def test_a_head_of_classes_without_names_is_refused_for_ours(sources):
    ours = restore(sources["big_vision"])[0].description
    ours = ours.replace(num_classes=3, classes=SENTIMENTS)
    with pytest.raises(UserError, match="its head tells 7, this model") as error:
        formats.initialise(sources["big_vision"], ours, KEY, keep_head=True)
    assert_one_line(error, sources["big_vision"])


def test_a_head_that_is_not_there_cannot_be_kept(sources):
    ours = restore(sources["Hugging Face"])[0].description
    ours = ours.replace(num_classes=3, classes=SENTIMENTS)
    with pytest.raises(UserError, match=r"no head to keep; config\.init_head=fresh") as error:
        formats.initialise(sources["Hugging Face"], ours, KEY, keep_head=True)
    assert_one_line(error, sources["Hugging Face"])


def test_a_head_of_other_layers_is_listed(sources):
    ours = restore(sources["workdir"])[0].description.replace(head_hidden=None)
    with pytest.raises(UserError, match="2 missing, 4 unexpected, 0 mis-shaped"):
        formats.initialise(sources["workdir"], ours, KEY, keep_head=True)


def test_a_model_with_class_token_does_not_start_from_one_without(sources):
    """One message lists what is missing, what is left over and what has another shape."""
    theirs = restore(sources["Hugging Face"])[0].description
    ours = theirs.replace(
        class_token=True, pooling="cls", mlp_size=64, num_classes=3, classes=SENTIMENTS
    )
    with pytest.raises(UserError) as error:
        formats.initialise(sources["Hugging Face"], ours, KEY)
    lines = str(error.value).splitlines()
    pooling = 1 + 8 + 2 + 4  # Probe, attention, LayerNorm, MLP.
    assert lines[0].endswith(f"1 missing, {pooling} unexpected, 7 mis-shaped")
    assert "  missing: cls (1, 1, 48)" in lines
    assert "  unexpected: MAPHead_0/probe (1, 1, 48)" in lines
    assert f"  mis-shaped: {POSITIONS}: expected (1, 17, 48), found (1, 16, 48)" in lines


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gelu": "exact"}, "gelu tanh, this model has exact"),
        ({"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon 1e-06, this model has 1e-05"),
        ({"pooling": "mean"}, "pooling cls, this model has mean"),
        ({"input_range": (0.0, 1.0)}, "input_range (-1.0, 1.0), this model has (0.0, 1.0)"),
        ({"dropout": 0.5, "stochastic_depth": 0.1}, None),
    ],
)
def test_what_changes_the_meaning_of_the_weights_is_said(golden, change, words, capfd):
    path = golden / "google_augreg/checkpoint.npz"
    ours = restore(path)[0].description.replace(**change)
    formats.initialise(path, ours, KEY)
    error = capfd.readouterr().err
    if words is None:
        assert "warning" not in error
    else:
        assert f"warning: {path} was made with {words}" in error
        assert error.count("warning") == 1


@pytest.mark.parametrize("gelu", ["tanh", "exact"])
def test_a_gelu_that_nobody_knows_does_not_differ(golden, gelu, capfd):
    path = golden / "keras_train/initial.npz"
    ours = restore(path, gelu=gelu)[0].description
    formats.initialise(path, ours, KEY)
    assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize("step", ["best", "latest", "7"])
def test_the_average_of_a_workdir_is_restored_by_name(workdirs, step):
    folder, items = workdirs["ema"], workdirs["items"]
    raw = formats.restore(folder, checkpoint=step)
    average = formats.restore(folder, checkpoint=f"{step}-ema")
    assert_equal(raw.params, items["params"])
    assert_equal(average.params, items["ema"])
    assert (raw.source, average.source) == (f"{folder} step 7", f"{folder} step 7-ema")
    assert (raw.step, average.step) == (7, 7)


@pytest.mark.parametrize("name", ["best-ema", "latest-ema", "7-ema"])
def test_an_average_that_is_not_there_is_refused(workdirs, name):
    with pytest.raises(UserError, match=r"checkpoints/7: has no ema, but params") as error:
        formats.restore(workdirs["plain"], checkpoint=name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["-ema", "ema", "8-ema", "best-average"])
def test_a_step_that_is_not_there_is_refused(workdirs, name):
    with pytest.raises(UserError, match="there are best, latest and") as error:
        formats.restore(workdirs["ema"], checkpoint=name)
    assert "\n" not in str(error.value)


def test_a_calibration_is_not_the_averages(workdirs, tmp_path, capfd):
    described, _ = restore(workdirs["ema"])
    calibration = Calibration(
        temperature=1.5, prior=(0.25, 0.25, 0.5), rows=40, data="tweets", split="validation",
        label="human_label", fingerprint="0123", step=7, coverage=[[0.0, 1.0, 0.6]],
    )  # fmt: skip
    description = described.description.replace(calibration=calibration)
    folder = make_workdir(tmp_path / "run", description, workdirs["items"])
    capfd.readouterr()
    assert formats.restore(folder).described.description.calibration == calibration
    assert "calibration" not in capfd.readouterr().err
    average = formats.restore(folder, checkpoint="best-ema")
    assert average.described.description.calibration is None
    assert "step 7-ema is used without calibration" in capfd.readouterr().err


def test_a_runs_average_is_one_of_its_steps(ema_run):
    """It lags behind the parameters, which have moved far from where they started."""
    raw, average = (formats.restore(ema_run, checkpoint=name) for name in ("latest", "latest-ema"))
    assert (raw.step, average.step) == (40, 40)
    assert jax.tree.structure(raw.params) == jax.tree.structure(average.params)
    distance = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), raw.params, average.params)
    assert 0 < max(jax.tree.leaves(distance)) < 0.1
    assert formats.restore(ema_run, checkpoint="best-ema").step in (20, 30, 40)
