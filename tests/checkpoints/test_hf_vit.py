"""Hugging Face's ViT: transformers' outputs, its config, and the folders that we write."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

from checkpoints import huggingface
from vit_sentiment.inference.forward import outputs
from vit_sentiment.inference.model import load
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.runtime.errors import UserError

CALIBRATION = Calibration(
    temperature=1.7, prior=(0.2, 0.3, 0.5), rows=9, data="d", split="s", label="l",
    fingerprint="f", step=None, coverage=((0.0, 1.0, 0.5),),
)  # fmt: skip


@pytest.fixture
def folder(golden, tmp_path):
    """A copy of the golden folder, for changing."""
    return shutil.copytree(golden / "huggingface_vit", tmp_path / "vit")


def change_json(path, **changes):
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(config | changes))


def test_computes_what_transformers_does(golden):
    model = load(golden / "huggingface_vit")
    with np.load(golden / "huggingface_vit/expected.npz") as expected:
        found = outputs(model.description, model.params, expected["images"])
        for name in ("features", "logits"):
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=0)
    assert model.description.classes == ("negative", "neutral", "positive")


def test_what_a_config_leaves_out_has_transformers_defaults(folder):
    config = json.loads((folder / "config.json").read_text())
    for name in ("layer_norm_eps", "hidden_act", "qkv_bias", "num_channels"):
        del config[name]
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(3)}
    (folder / "config.json").write_text(json.dumps(config))
    d = load(folder).description
    assert (d.layer_norm_epsilon, d.gelu, d.num_classes, d.classes) == (1e-12, "exact", 3, ())


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, (-1, 1)),
        ({"image_mean": [0.0] * 3, "image_std": [1.0] * 3}, (0, 1)),
        ({"do_normalize": False}, (0, 1)),
        ({"do_normalize": False, "do_rescale": False}, (0, 255)),
        ({"image_mean": [0.25] * 3, "image_std": [0.5] * 3}, (-0.5, 1.5)),
    ],
)
def test_the_preprocessor_tells_the_input_range(folder, processor, expected):
    change_json(folder / "preprocessor_config.json", **processor)
    assert load(folder).description.input_range == expected


@pytest.mark.parametrize(
    ("file", "changes", "part"),
    [
        ("config.json", {"architectures": ["ViTForMaskedImageModeling"]}, "architectures"),
        ("config.json", {"qkv_bias": False}, "qkv_bias true"),
        ("config.json", {"hidden_act": "relu"}, "gelu must be one of"),
        ("config.json", {"patch_size": [8, 4]}, "square patches"),
        ("config.json", {"id2label": {"5": "x"}}, "not a config of vit"),
        ("config.json", {"intermediate_size": 97}, "mis-shaped"),
        ("config.json", {"head_hidden": 32}, "head.safetensors: no such file"),
        ("preprocessor_config.json", {"image_mean": [0.4, 0.5, 0.5], "image_std": [1, 1, 1]},
         "differ from channel to channel"),
        ("preprocessor_config.json", {"image_mean": "x"}, "not the config of an image processor"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told(folder, file, changes, part):
    change_json(folder / file, **changes)
    with pytest.raises(UserError, match=r"^\S*vit") as error:
        load(folder)
    assert part in str(error.value)


def test_a_pooler_is_left_out(folder, golden):
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    arrays = {k.removeprefix("vit."): v for k, v in arrays.items() if "classifier" not in k}
    arrays |= {"pooler.dense.weight": np.ones((48, 48)), "pooler.dense.bias": np.ones(48)}
    safetensors.numpy.save_file(arrays, folder / "model.safetensors")
    change_json(folder / "config.json", architectures=["ViTModel"])
    described, _ = huggingface.read(folder)
    assert described.description.num_classes == 0
    assert any("pooler is left out" in line for line in described.derived)
    model = load(folder)
    with np.load(golden / "huggingface_vit/expected.npz") as expected:
        found = outputs(model.description, model.params, expected["images"])
        np.testing.assert_allclose(found["features"], expected["features"], atol=1e-5, rtol=0)


def test_what_is_written_has_the_arrays_of_transformers(golden, tmp_path):
    source = golden / "huggingface_vit"
    model = load(source)
    huggingface.write(tmp_path / "out", model.params, model.description)
    ours, theirs = (
        safetensors.numpy.load_file(f / "model.safetensors") for f in (tmp_path / "out", source)
    )
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value)
    config, original = (
        json.loads((f / "config.json").read_text()) for f in (tmp_path / "out", source)
    )
    del config["vit_sentiment"]  # Which transformers ignores.
    assert config == {name: original[name] for name in config}
    assert load(tmp_path / "out").description == model.description


def test_the_two_layer_head_has_a_file_of_its_own(golden, tmp_path):
    model = load(golden / "keras_h5/full_model.h5", input_range=(0.0, 1.0))
    folder = tmp_path / "out"
    huggingface.write(folder, model.params, model.description)
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["ViTModel"]
    head = safetensors.numpy.load_file(folder / "head.safetensors")
    shapes = {name: value.shape for name, value in head.items()}
    assert shapes == {
        "head_hidden.weight": (32, 48),
        "head_hidden.bias": (32,),
        "head_out.weight": (3, 32),
        "head_out.bias": (3,),
    }
    again = load(folder)
    assert again.model_id == model.model_id
    assert again.description == model.description


@pytest.mark.parametrize(
    "changes",
    [
        {"gelu": "tanh"},
        {"image_size": (16, 64)},
        {"layer_norm_epsilon": 1e-5},
        {"input_range": (-2.5, 1.5)},
        {"classes": ("a", "b", "c")},
        {"classes": ()},
        {"classes": ("LABEL_0", "LABEL_1", "LABEL_2")},
        {"pixel_mode": "uint8", "dtype": "bfloat16", "stochastic_depth": 0.1},
        {"input_range": (-1 / 3, 2 / 7)},
        {"calibration": CALIBRATION},
    ],
)
def test_what_a_folder_holds_comes_back(golden, tmp_path, changes):
    model = load(golden / "huggingface_vit")
    changed = model.description.replace(**changes)
    huggingface.write(tmp_path / "out", model.params, changed)
    assert load(tmp_path / "out").description == changed


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"output_mask": (1.0, 1e-7, 1.0)}, "output_mask"),
        ({"pooling": "mean"}, "pooling mean, where it has cls"),
        ({"pooling": "map", "class_token": False}, "class_token False, where it has True"),
        ({"representation_size": 48}, "representation_size 48, where it has None"),
    ],
)
def test_what_transformers_cannot_compute_is_refused(golden, tmp_path, changes, part):
    model = load(golden / "huggingface_vit")
    with pytest.raises(UserError) as error:
        huggingface.write(tmp_path / "x", model.params, model.description.replace(**changes))
    assert part in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def written(golden, tmp_path):
    """A folder of ours, calibrated."""
    model = load(golden / "huggingface_vit")
    calibrated = model.description.replace(calibration=CALIBRATION)
    huggingface.write(tmp_path / "vit", model.params, calibrated)
    return tmp_path / "vit"


@pytest.mark.parametrize(
    ("file", "changes", "part"),
    [
        ("config.json", {"num_hidden_layers": 1}, "num_layers 2, the rest of the folder 1"),
        ("config.json", {"hidden_act": "gelu_new"}, "gelu exact, the rest of the folder tanh"),
        ("config.json", {"id2label": {"0": "c", "1": "b", "2": "a"}}, "the folder ('c', 'b', 'a')"),
        ("config.json", {"vit_sentiment": {}}, "expected the fields model_id and description"),
        ("config.json", {"vit_sentiment": {"model_id": "", "description": []}}, "an object"),
        ("config.json", {"vit_sentiment": {"model_id": "", "description": {}}}, "missing fields"),
        ("preprocessor_config.json", {"image_std": [0.25] * 3}, "input_range (-1.0, 1.0), the"),
    ],
)
def test_contradictions_to_our_own_key_are_told(written, file, changes, part):
    change_json(written / file, **changes)
    with pytest.raises(UserError, match=r"^\S*config.json: vit_sentiment") as error:
        load(written)
    assert part in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_our_own_key_cannot_name_what_transformers_does_not_compute(written):
    key = json.loads((written / "config.json").read_text())["vit_sentiment"]
    key["description"]["pooling"] = "mean"
    change_json(written / "config.json", vit_sentiment=key)
    with pytest.raises(UserError, match="pooling mean, the rest of the folder cls"):
        load(written)


def test_weights_that_transformers_trained_on_lose_the_calibration(written, capsys):
    arrays = safetensors.numpy.load_file(written / "model.safetensors")
    arrays["classifier.bias"] = arrays["classifier.bias"] + 1
    assert load(written).description.calibration == CALIBRATION
    safetensors.numpy.save_file(arrays, written / "model.safetensors")
    assert load(written).description.calibration is None
    assert "its calibration is of other weights, and left out" in capsys.readouterr().err


def test_without_a_preprocessor_our_own_key_tells_the_input_range(golden, tmp_path):
    model = load(golden / "huggingface_vit")
    changed = model.description.replace(input_range=(0.0, 1.0))
    huggingface.write(tmp_path / "out", model.params, changed)
    (tmp_path / "out" / "preprocessor_config.json").unlink()
    assert load(tmp_path / "out").description == changed
