"""Keras files of the original system: read by name, never run, damage told."""

import json
import shutil

import h5py
import numpy as np
import pytest

from checkpoints import formats, keras_h5
from vit_sentiment.inference.forward import outputs
from vit_sentiment.inference.model import load
from vit_sentiment.runtime.errors import UserError

MASK = (1.0, 1e-7, 1.0)


@pytest.fixture(scope="module")
def expected(golden):
    with np.load(golden / "keras_h5/expected.npz") as file:
        return dict(file)


@pytest.fixture
def copy(golden, tmp_path):
    """A function that copies a golden file, for changing."""

    def make(name):
        return shutil.copy(golden / f"keras_h5/{name}.h5", tmp_path / "weights.h5")

    return make


def assert_computes(model, expected, probs="probs"):
    found = outputs(model.description, model.params, expected["images"])
    np.testing.assert_allclose(found["features"], expected["features"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(found["probs"], expected[probs], atol=1e-5, rtol=0)
    if probs == "masked":  # Absolute tolerance says nothing of the masked class.
        neutral = found["probs"][:, 1], expected[probs][:, 1]
        np.testing.assert_allclose(*neutral, rtol=1e-4)


def message(path, **hints):
    with pytest.raises(UserError) as error:
        formats.restore(path, **hints)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value)


def change_config(path, change):
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


def rename(path, new_name):
    """Gives every array of a file of weights the name that `new_name` makes of its old one."""
    arrays = {}
    with h5py.File(path, "r+") as file:
        file.visititems(
            lambda n, item: arrays.update({n: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
        for name in list(file):
            del file[name]
        for name, value in arrays.items():
            file[new_name(name)] = value


@pytest.mark.parametrize(
    ("name", "hints", "probs"),
    [
        ("full_model", {}, "probs"),
        ("weights_only", {"num_heads": 4}, "probs"),
        ("fold_masked", {}, "masked"),
    ],
)
def test_the_three_layouts_compute_what_keras_did(golden, expected, name, hints, probs):
    model = load(golden / f"keras_h5/{name}.h5", **hints)
    assert_computes(model, expected, probs)
    d = model.description
    assert (d.gelu, d.layer_norm_epsilon, d.dropout) == ("exact", 1e-6, 0.1)
    assert d.classes == ("negative", "neutral", "positive")
    assert (d.input_range, d.image_size, d.pixel_mode) == ((-1, 1), (32, 32), "exact")
    assert d.output_mask == (MASK if name == "fold_masked" else None)


def test_all_three_hold_the_same_weights(golden):
    names = ("full_model", "weights_only", "fold_masked")
    assert len({load(golden / f"keras_h5/{n}.h5", num_heads=4).model_id for n in names}) == 1


def keras_3(name):
    """As vit-keras 0.2 with Keras 3 calls it."""
    name = name.removesuffix(":0").replace("Transformer/", "Transformer_")
    for number in "01":
        for block in "01":
            layer = f"Transformer_encoderblock_{block}"
            name = name.replace(
                f"{layer}/Dense_{number}/", f"{layer}/MlpBlock_3/{layer}_Dense_{number}/"
            )
    return name.replace("dense/dense/", "dense/vision_transformer/dense/")


def counted(name):
    """After eight other models in the same process: the second counter sorts before the first."""
    layer = {"dense": "dense_9", "dense_1": "dense_10"}
    return "/".join(layer.get(part, part) for part in name.split("/"))


def shuffled(name):
    """The output's layer was made first."""
    layer = {"dense": "dense_3", "dense_1": "dense_2"}
    return "/".join(layer.get(part, part) for part in name.split("/"))


@pytest.mark.parametrize("new_name", [keras_3, counted, shuffled])
def test_other_names_are_the_same_arrays(copy, expected, new_name):
    path = copy("weights_only")
    rename(path, new_name)
    assert_computes(load(path, num_heads=4), expected)


def test_the_optimiser_is_ignored(copy, expected):
    path = copy("full_model")
    with h5py.File(path, "r+") as file:
        file["optimizer_weights/RectifiedAdam/embedding/kernel/m:0"] = np.zeros((8, 8, 3, 48))
        file["optimizer_weights/iteration:0"] = 3
    assert_computes(load(path), expected)


def weights_of_fold(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
    return path


def test_weights_of_a_fold_need_the_mask(copy, expected):
    path = weights_of_fold(copy("fold_masked"))
    with pytest.raises(UserError, match=r"weights\.h5: .*output_mask; pass --mask"):
        load(path, num_heads=4)
    assert formats.restore(path, num_heads=4).described.unknown == ("output_mask",)
    assert_computes(load(path, num_heads=4, mask=MASK), expected, "masked")


def test_input_range_is_told_by_the_user(golden):
    model = load(golden / "keras_h5/full_model.h5", input_range=(0.0, 1.0))
    assert model.description.input_range == (0, 1)


@pytest.mark.parametrize(
    ("name", "hints", "part"),
    [
        ("weights_only", {}, "pass --num_heads"),
        ("full_model", {"num_heads": 8}, "--num_heads=8 contradicts the file, which has 4"),
        ("full_model", {"image_size": (16, 64)}, "--image_size=(16, 64) contradicts"),
        ("full_model", {"mask": MASK}, "--mask=(1.0, 1e-07, 1.0) contradicts the file"),
        ("fold_masked", {"mask": (1.0, 0.5, 1.0)}, "--mask=(1.0, 0.5, 1.0) contradicts"),
        ("full_model", {"gelu": "tanh"}, "--gelu=tanh contradicts"),
    ],
)
def test_hints_are_asked_for_and_must_not_contradict(golden, name, hints, part):
    assert part in message(golden / f"keras_h5/{name}.h5", **hints)


def lambda_elsewhere(config):
    config["config"]["layers"][2]["class_name"] = "Lambda"


def renamed_lambda(config):
    config["config"]["layers"][1]["config"]["layers"][-1]["config"]["name"] = "ExtractToken2"


def unknown_layer(config):
    config["config"]["layers"][1]["config"]["layers"][2]["class_name"] = "PyLayer"


def other_activation(config):
    config["config"]["layers"][2]["config"]["activation"] = "relu"


def other_epsilon(config):
    config["config"]["layers"][1]["config"]["layers"][-2]["config"]["epsilon"] = 1e-3


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda_elsewhere, ["'dense'", "class Lambda", "never run", "ExtractToken"]),
        (renamed_lambda, ["'ExtractToken2'", "class Lambda", "never run"]),
        (unknown_layer, ["'reshape'", "'PyLayer'"]),
        (other_activation, ["activation of dense: expected gelu, found relu"]),
        (other_epsilon, ["epsilon 0.001"]),
        (lambda config: config.pop("config"), ["model_config", "not the description"]),
    ],
)
def test_models_that_are_not_known_are_refused(copy, change, parts):
    path = copy("full_model")
    change_config(path, change)
    text = message(path)
    for part in parts:
        assert part in text


def test_bytecode_is_not_looked_at(copy, expected):
    def spoil(config):
        token = config["config"]["layers"][1]["config"]["layers"][-1]
        token["config"]["function"] = ["not even base64", None, None]

    path = copy("full_model")
    change_config(path, spoil)
    assert_computes(load(path), expected)


def test_all_that_does_not_fit_is_in_one_message_under_keras_names(copy):
    path = copy("weights_only")
    block = "vit-b16/Transformer/encoderblock_1/"
    with h5py.File(path, "r+") as file:
        del file[f"{block}LayerNorm_2/beta:0"]
        del file[f"{block}Dense_0/kernel:0"]
        file[f"{block}Dense_0/kernel:0"] = np.zeros((48, 95), np.float32)
        file["vit-b16/surprise/kernel:0"] = np.zeros(3)
        file["copy/embedding/bias:0"] = np.zeros(48)
        file["text"] = "no numbers"
        file.create_group("nothing in it")
    assert message(path, num_heads=4).splitlines()[1:] == [
        "  mis-shaped: vit-b16/Transformer/encoderblock_1/Dense_0/kernel:0: "
        "expected (48, 96), found (48, 95)",
        "  missing: Transformer/encoderblock_1/LayerNorm_2/beta:0 (48,)",
        "  not an array of numbers: text",
        "  twice: copy/embedding/bias:0 and vit-b16/embedding/bias:0",
        "  unexpected: vit-b16/surprise/kernel:0 (3,)",
    ]


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "raw", "top"])
def test_nothing_leads_out_of_the_file(copy, golden, kind):
    path, name = copy("full_model"), "model_weights/vit-b16/embedding/bias:0"
    other = str(golden / "keras_h5/full_model.h5")
    with h5py.File(path, "r+") as file:
        del file["model_weights" if kind == "top" else name]
        if kind == "top":
            file["model_weights"] = h5py.ExternalLink(other, "model_weights")
        elif kind == "soft":
            file[name] = h5py.SoftLink("/model_weights/vit-b16/Transformer/encoder_norm/beta:0")
        elif kind == "external":
            file[name] = h5py.ExternalLink(other, name)
        elif kind == "virtual":
            layout = h5py.VirtualLayout((48,), "f4")
            layout[:] = h5py.VirtualSource(other, name, (48,))
            file.create_virtual_dataset(name, layout)
        else:
            file.create_dataset(name, (48,), "f4", external=[(other, 0, 192)])
    assert ("link" if kind in ("soft", "external", "top") else "another file") in message(path)


def test_a_cycle_of_groups_ends(copy, expected):
    path = copy("full_model")
    with h5py.File(path, "r+") as file:
        file["model_weights/vit-b16/again"] = file["model_weights"]
    assert_computes(load(path), expected)


def test_damage_is_told_in_a_line(tmp_path, golden):
    whole = (golden / "keras_h5/full_model.h5").read_bytes()
    for data, part in (
        (b"", "the file is empty"),
        (b"PK\x03\x04 zip", "not an HDF5 file"),
        (whole[:8], "damaged"),
        (whole[:100_000], "truncated"),
        (whole[:600] + bytes(4000) + whole[4600:], "damaged"),
    ):
        path = tmp_path / "weights.h5"
        path.write_bytes(data)
        text = message(path)
        assert part in text
        assert "\n" not in text


def test_huge_claims_are_not_believed(copy):
    path = copy("full_model")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = "[" * 2_000_000
    assert "model_config" in message(path)
    path = copy("weights_only")
    with h5py.File(path, "r+") as file:  # Sizes that fit each other, and no data.
        wide = 48_000
        arrays = {n: s for _, n, s in named_shapes(file, wide)}
        for name in list(file):
            del file[name]
        for name, shape in arrays.items():
            file.create_dataset(name, shape, "f4")
    assert "its arrays would be" in message(path, num_heads=4)


def named_shapes(file, wide):
    rows = []
    file.visititems(
        lambda n, item: (
            rows.append((0, n, tuple(wide if s == 48 else s for s in item.shape)))
            if isinstance(item, h5py.Dataset)
            else None
        )
    )
    return rows


def test_what_is_written_has_the_names_and_the_order_of_keras(golden, tmp_path):
    model = load(golden / "keras_h5/full_model.h5")
    path = tmp_path / "out.h5"
    assert keras_h5.write(path, model.params, model.description) == {"num_heads": 4}
    assert load(path, num_heads=4).model_id == model.model_id
    with h5py.File(path) as ours, h5py.File(golden / "keras_h5/weights_only.h5") as theirs:
        layers = list(ours.attrs["layer_names"])
        assert [name.replace("vit", "vit-b16", 1) for name in layers] == list(
            theirs.attrs["layer_names"]
        )
        for layer, their_layer in zip(layers, theirs.attrs["layer_names"], strict=True):
            names = list(ours[layer].attrs["weight_names"])
            assert names == list(theirs[their_layer].attrs["weight_names"])
            for name in names:
                np.testing.assert_array_equal(ours[layer][name], theirs[their_layer][name])


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"gelu": "tanh"}, "gelu tanh would be read as exact"),
        ({"output_mask": MASK}, "output_mask (1.0, 1e-07, 1.0) would be read as None"),
        ({"input_range": (0.0, 1.0)}, "input_range (0.0, 1.0) would be read as (-1.0, 1.0)"),
        ({"class_token": False, "pooling": "mean"}, "class_token False would be read as True"),
    ],
)
def test_what_a_keras_file_cannot_hold_is_refused(golden, tmp_path, changes, part):
    model = load(golden / "keras_h5/full_model.h5")
    with pytest.raises(UserError) as error:
        keras_h5.write(tmp_path / "x.h5", model.params, model.description.replace(**changes))
    assert part in str(error.value)
    assert not list(tmp_path.iterdir())
