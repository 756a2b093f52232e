import json

import pytest

from vit_sentiment.models.description import ModelDescription, sizes
from vit_sentiment.runtime.errors import UserError

TINY = {
    "image_size": (32, 48), "patch_size": 8, "hidden_size": 48, "num_layers": 2, "num_heads": 4,
    "mlp_size": 96,
}  # fmt: skip


def test_sizes_are_those_of_the_paper():
    base = {"hidden_size": 768, "num_layers": 12, "num_heads": 12, "mlp_size": 3072}
    large = {"hidden_size": 1024, "num_layers": 24, "num_heads": 16, "mlp_size": 4096}
    assert sizes("B/16") == {**base, "patch_size": 16}
    assert sizes("B/32") == {**base, "patch_size": 32}
    assert sizes("L/16") == {**large, "patch_size": 16}
    assert sizes("L/32") == {**large, "patch_size": 32}


@pytest.mark.parametrize("name", ["B/8", "H/16", "b/16", "B16", ""])
def test_an_unknown_variant_is_an_error_that_lists_the_known(name):
    with pytest.raises(UserError, match="B/16, B/32, L/16, L/32, H/14"):
        sizes(name)


def test_the_grid_is_rows_by_columns():
    assert ModelDescription(**TINY).grid == (4, 6)


@pytest.mark.parametrize(("class_token", "count"), [(True, 25), (False, 24)])
@pytest.mark.parametrize("pooling", ["mean", "map"])
def test_a_position_for_each_patch_and_for_the_class_token(class_token, count, pooling):
    description = ModelDescription(**TINY, class_token=class_token, pooling=pooling)
    assert description.num_positions == count


def test_defaults_are_googles_and_three_sentiments():
    description = ModelDescription(**TINY)
    assert description.gelu == "tanh"
    assert description.layer_norm_epsilon == 1e-6
    assert description.classes == ("negative", "neutral", "positive")
    assert description.input_range == (-1, 1)


def test_json_and_back():
    description = ModelDescription(
        **TINY, gelu="exact", head_hidden=32, output_mask=(1.0, 1e-7, 1.0), dtype="bfloat16"
    )
    text = json.dumps(description.to_json())
    assert ModelDescription.from_json(json.loads(text), "here") == description
    assert hash(description) == hash(ModelDescription.from_json(json.loads(text), "here"))


def test_json_of_the_fields_that_big_visions_models_need():
    description = ModelDescription(
        **TINY, class_token=False, pooling="map", stochastic_depth=0.1, num_classes=0, classes=()
    )
    value = json.loads(json.dumps(description.to_json()))
    assert (value["class_token"], value["pooling"], value["stochastic_depth"]) == (
        False,
        "map",
        0.1,
    )
    assert ModelDescription.from_json(value, "here") == description


def test_json_from_before_these_fields_has_a_class_token_and_no_stochastic_depth():
    value = ModelDescription(**TINY, pooling="mean").to_json()
    del value["class_token"], value["stochastic_depth"]
    description = ModelDescription.from_json(value, "here")
    assert description == ModelDescription(**TINY, pooling="mean")
    assert (description.class_token, description.stochastic_depth) == (True, 0.0)


def test_replace_changes_some_fields_and_checks_them():
    description = ModelDescription(**TINY)
    assert description.replace(image_size=(64, 64)).grid == (8, 8)
    assert description.image_size == (32, 48)
    with pytest.raises(UserError, match="image_size"):
        description.replace(image_size=(33, 48))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"image_size": (32, 50)}, "image_size"),
        ({"image_size": (0, 8)}, "image_size"),
        ({"image_size": (32,)}, "image_size"),
        ({"patch_size": 0}, "patch_size"),
        ({"num_layers": -1}, "num_layers"),
        ({"num_heads": 5}, "num_heads"),
        ({"gelu": "relu"}, "gelu"),
        ({"pooling": "max"}, "pooling"),
        ({"pixel_mode": "fast"}, "pixel_mode"),
        ({"dtype": "float16"}, "dtype"),
        ({"num_classes": 5}, "num_classes"),
        ({"output_mask": (1.0, 1.0)}, "output_mask"),
        ({"head_hidden": 32, "representation_size": 48}, "head_hidden"),
        ({"stochastic_depth": 1.0}, "stochastic_depth must be at least 0 and less than 1"),
        ({"stochastic_depth": -0.1}, "stochastic_depth"),
        ({"dropout": 1.0}, "dropout"),
        ({"class_token": False}, "pooling cls needs a class token"),
    ],
)
def test_what_cannot_be_built_is_an_error_that_names_the_field(changes, field):
    with pytest.raises(UserError, match=field) as error:
        ModelDescription(**(TINY | changes))
    assert "\n" not in str(error.value)


def test_unknown_and_missing_fields_are_named_with_the_place():
    value = ModelDescription(**TINY).to_json()
    with pytest.raises(UserError, match=r"model\.json: unknown fields.*'heads', 'layers'"):
        ModelDescription.from_json({**value, "layers": 3, "heads": 2}, "model.json")
    del value["patch_size"], value["mlp_size"]
    with pytest.raises(UserError, match=r"model\.json: missing fields.*'mlp_size', 'patch_size'"):
        ModelDescription.from_json(value, "model.json")
