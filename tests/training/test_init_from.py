"""Runs that start from weights of every format, the head fresh or kept.

Their learning rate is 0: what they save is what they started from.
"""

import json

import numpy as np
import pytest
import tiny

from checkpoints import formats, trees
from configs import common
from vit_sentiment.inference.model import load
from vit_sentiment.models.classifier import HEAD_NAMES
from vit_sentiment.runtime.errors import UserError
from vit_sentiment.training import run as training_run

pytestmark = pytest.mark.usefixtures("quick_compilation")


def one_step(distilled, workdir, learning_rate=0.0, **changes):
    """The parameters, flat, after a run of one step."""
    config = tiny.config(distilled, **changes)
    config.stages = (common.stage(steps=1, learning_rate=learning_rate),)
    assert training_run.train(config, workdir, lambda step: False)
    return trees.flatten(load(workdir, checkpoint="latest").params)


@pytest.fixture(scope="module")
def source(distilled, tmp_path_factory):
    """Workdir of a run of one step, and its weights."""
    workdir = tmp_path_factory.mktemp("source") / "run"
    return workdir, one_step(distilled, workdir, 0.1, seed=7)


def is_head(name):
    return name.split("/")[0] in HEAD_NAMES


@pytest.mark.parametrize("name", ["", "best.npz"])
def test_a_kept_head_starts_where_a_workdir_or_file_ended(distilled, source, tmp_path, name):
    workdir, expected = source
    start = {"init_from": str(workdir / name), "init_head": "keep"}
    tiny.assert_identical(one_step(distilled, tmp_path / "run", **start), expected)


def test_a_fresh_head_is_on_the_backbone_of_the_workdir(distilled, source, tmp_path):
    workdir, expected = source
    found = one_step(distilled, tmp_path / "run", init_from=str(workdir))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(found[name], value) != is_head(name), name


def test_the_average_starts_there_too(distilled, source, tmp_path):
    workdir, expected = source
    start = {"init_from": str(workdir), "init_head": "keep", "ema_decay": 0.9}
    one_step(distilled, tmp_path / "run", **start)
    average = load(tmp_path / "run", checkpoint="latest-ema").params
    tiny.assert_identical(trees.flatten(average), expected)


def test_the_backbone_of_a_hugging_face_folder(distilled, golden, tmp_path):
    folder = golden / "siglip_hf" / "full"
    weights = formats.read(folder)
    theirs = weights.described.description
    fields = ("patch_size", "hidden_size", "num_layers", "num_heads", "mlp_size", "image_size",
              "gelu", "layer_norm_epsilon", "class_token", "pooling", "input_range")  # fmt: skip
    model = {f"model__{name}": getattr(theirs, name) for name in fields}
    found = one_step(distilled, tmp_path / "run", init_from=str(folder), **model)
    backbone = {name: value for name, value in found.items() if not is_head(name)}
    tiny.assert_identical(backbone, {n: np.asarray(v) for n, v in weights.flat.items()})
    assert {name for name in found if is_head(name)} == {"head/kernel", "head/bias"}


def test_a_head_of_other_classes_is_refused(distilled, source, tmp_path):
    workdir, _ = source
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "checkpoints").symlink_to(workdir / "checkpoints")
    description = json.loads((workdir / "model.json").read_text())
    description["classes"] = ["one", "two", "three"]
    (copy / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match=r"its head tells \['one', 'two', 'three'\], this model"):
        one_step(distilled, tmp_path / "run", init_from=str(copy), init_head="keep")
