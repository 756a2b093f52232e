"""The recipes of the published models: they fit what reads them, and say what is documented."""

import config_files
import numpy as np
import pytest
import sklearn.utils.class_weight

from checkpoints import published, releases
from configs import t4sa
from input_pipeline import original_tree
from input_pipeline.t4sa.t4sa_dataset_builder import config_name
from vit_sentiment.models.description import sizes
from vit_sentiment.runtime import config_fields
from vit_sentiment.training import checks, losses, optimizers, plan

CLASSES = ("negative", "neutral", "positive")
RELEASED = [release.name for release in releases.RELEASES if "/t4sa/" in f"/{release.file}"]
RELEASED = [name for name in RELEASED if releases.find(name).url]

# The parts of the original's lists for training: its printed counts, and for the 80/10/10 splits
# without one, four fifths of the complete list.
TRAIN_ROWS = {
    "b_t4sa_1_0_upd": 368_586,
    "b_t4sa_1_0_upd_filt": 285_778,
    "bal_flat": 468_871,
    "bal": 468_871,
    "merged": 1_202_478,
}

# What train_vit.py, utils.py and the README of codiceSpaghetti/T4SA-2.0 and vit-keras document.
ORIGINAL = {
    "model.head_hidden": 32,
    "model.gelu": "exact",
    "model.layer_norm_epsilon": 1e-6,
    "model.dropout": 0.1,
    "model.stochastic_depth": 0.0,
    "model.class_token": True,
    "model.pooling": "cls",
    "model.pixel_mode": "exact",
    "model.dtype": "float32",
    "init_head": "fresh",
    "data.label": "teacher_label",
    "data.batch_size": 32,
    "data.shuffle": False,
    "augment.crop_area": (1.0, 1.0),
    "augment.flip": 0.0,
    "augment.mixup": 0.0,
    "augment.cutmix": 0.0,
    "augment.erase": 0.0,
    "augment.brightness": 0.0,
    "loss.label_smoothing": 0.2,
    "loss.soft_weight": 0.0,
    "loss.logit_adjustment": "none",
    "optimizer.name": "radam",
    "optimizer.b1": 0.9,
    "optimizer.b2": 0.999,
    "optimizer.eps": 1e-7,
    "optimizer.weight_decay": 0.0,
    "optimizer.clip_norm": 0.0,
    "optimizer.layer_decay": 1.0,
    "accumulate": 1,
    "ema_decay": 0.0,
    "stages[0].trainable": "head",
    "stages[0].epochs": 1.0,
    "stages[0].learning_rate": 1e-4,
    "stages[0].schedule": "constant",
    "stages[0].warmup_steps": 0,
    "stages[1].trainable": "all",
    "stages[1].epochs": 5.0,
    "stages[1].learning_rate": 1e-4,
    "stages[1].schedule": "constant",
    "stages[1].warmup_steps": 0,
    "early_stopping.patience": 0,
}
# Architecture, side of the images, lowest pixel, training set.
ROWS = {
    "B-T4SA_1.0_upd": ("B/32", 224, 0.0, "t4sa/b_t4sa_1_0_upd"),
    "B-T4SA_1.0_upd_filt": ("B/32", 224, 0.0, "t4sa/b_t4sa_1_0_upd_filt"),
    "bal_flat_T4SA2.0": ("B/32", 224, 0.0, "t4sa/bal_flat"),
    "bal_T4SA2.0": ("B/32", 224, 0.0, "t4sa/bal"),
    "ViT_B32": ("B/32", 224, 0.0, "t4sa/merged"),
    "ViT_L32": ("L/32", 384, -1.0, "t4sa/merged"),
    "ViT_B16": ("B/16", 384, -1.0, "t4sa/merged"),
    "ViT_L16": ("L/16", 384, -1.0, "t4sa/merged"),
}


def leaves(name, habit=""):
    return config_fields.leaves(t4sa.get_config(",".join(filter(None, (name, habit)))))


def test_there_is_a_recipe_for_each_model_with_a_release_file():
    assert sorted(t4sa.MODELS) == sorted(RELEASED) == sorted(ROWS)
    assert len(t4sa.ARGUMENTS) == len(set(t4sa.ARGUMENTS)) == 24


@pytest.mark.parametrize("argument", t4sa.ARGUMENTS)
def test_a_recipe_can_be_planned(argument):
    config = t4sa.get_config(argument)
    checks.check(config)
    listed = t4sa.MODELS[argument.split(",")[0]].dataset
    stages = plan.plan_stages(config, TRAIN_ROWS[listed])
    assert [stage.trainable for stage in stages] == ["head", "all"]
    description = plan.describe_model(config, CLASSES)
    assert description.image_size == tuple(config.model.image_size)
    optimizers.make_optimizer(config, plan.learning_rate(stages))
    losses.make_loss(config, np.array([0, 1, 1, 2]), description)


@pytest.mark.parametrize("argument", t4sa.ARGUMENTS)
def test_a_recipe_starts_from_a_public_checkpoint_of_its_architecture(argument):
    config = t4sa.get_config(argument)
    release = releases.find(config.init_from)
    assert release.url
    assert release.architecture == f"ViT-{config.model.variant}"
    # Google's Flax models have the tanh form, and vit-keras runs the same weights in the exact one.
    assert config.model.gelu == ("tanh" if argument.endswith(",modern") else "exact")


@pytest.mark.parametrize("argument", t4sa.ARGUMENTS)
def test_a_recipe_names_a_dataset_that_the_builder_writes(argument):
    builder, _, name = t4sa.get_config(argument).data.train.partition("/")
    written = {config_name(s, by) for s in original_tree.T4SA for by in ("given", "tweet")}
    assert builder == "t4sa"
    assert name in written


@pytest.mark.parametrize("name", t4sa.MODELS)
def test_the_original_habit_is_what_is_documented(name):
    found = leaves(name, "original")
    assert {field: found[field] for field in ORIGINAL} == ORIGINAL
    variant, side, lowest, dataset = ROWS[name]
    assert found["model.variant"] == variant
    assert found["model.image_size"] == (side, side)
    assert found["model.input_range"] == (lowest, 1.0)
    assert found["data.train"] == dataset
    weights = f"imagenet21k+imagenet2012/ViT-{variant[0]}_{variant[2:]}"
    assert found["init_from"] == weights


@pytest.mark.parametrize("name", t4sa.MODELS)
def test_the_original_habit_agrees_with_how_the_published_weights_are_read(name):
    found, model = leaves(name, "original"), published.MODELS[name]
    assert found["model.variant"] == model.variant
    assert found["model.image_size"] == (model.image_size,) * 2
    assert found["model.input_range"] == model.input_range
    assert sizes(found["model.variant"])["patch_size"] == int(releases.find(name).architecture[-2:])


@pytest.mark.parametrize("name", t4sa.MODELS)
def test_the_originals_class_weights_are_those_of_the_complete_list(name):
    counts = t4sa.MODELS[name].counts
    labels = np.repeat([0, 1, 2], counts)
    expected = sklearn.utils.class_weight.compute_class_weight(
        "balanced", classes=np.array([0, 1, 2]), y=labels
    )
    text = leaves(name, "original")["loss.class_weights"]
    found = losses.class_weights(text, np.array([0, 1, 2]), 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", t4sa.MODELS)
def test_the_recipe_differs_from_the_original_in_its_oddities_alone(name):
    ours, theirs = leaves(name), leaves(name, "original")
    expected = {"data.shuffle", "loss.class_weights"}
    if name != "ViT_L16":
        expected.add("model.dropout")
    if ROWS[name][0] == "B/32":
        expected.add("model.input_range")
    if ROWS[name][3] == "t4sa/merged":
        expected.add("data.train")
    assert {field for field in ours if ours[field] != theirs[field]} == expected
    assert ours["data.shuffle"] is True
    assert ours["loss.class_weights"] == "balanced"
    assert ours["model.input_range"] == (-1.0, 1.0)
    assert ours["data.train"].removeprefix(theirs["data.train"]) in ("", "_by_tweet")


@pytest.mark.parametrize("argument", t4sa.ARGUMENTS)
def test_assumed_are_fields_and_what_is_documented_is_not_among_them(argument):
    name, _, habit = argument.partition(",")
    found = leaves(name, habit)
    for field in found["assumed"]:
        assert any(leaf == field or leaf.startswith((f"{field}.", f"{field}[")) for leaf in found)
    if habit == "modern":
        assert found["assumed"] == ()
    elif name == "ViT_B16":
        assert found["assumed"] == ("validation.metric",)
    else:
        wanted = {"stages", "optimizer", "data.batch_size", "data.shuffle", "validation.metric"}
        assert wanted <= set(found["assumed"])
        assert not any(field.startswith(("model", "init")) for field in found["assumed"])


def test_modern_recipes_train_on_no_tweet_that_is_held_out():
    for name in t4sa.MODELS:
        assert leaves(name, "modern")["data.train"].endswith("_by_tweet")
        assert leaves(name, "modern")["model.input_range"] == (-1.0, 1.0)


def test_every_field_that_a_modern_recipe_changes_is_argued_in_the_document():
    text = (config_files.ROOT / "docs" / "reproduction.md").read_text()
    argued = text.partition("## The modern recipes")[2]
    for name in t4sa.MODELS:
        ours, modern = leaves(name), leaves(name, "modern")
        changed = {field for field in modern if modern[field] != ours[field]} - {"assumed"}
        missing = [field for field in changed if f"`{field}`" not in argued]
        assert missing == []
