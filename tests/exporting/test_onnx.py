"""ONNX: each kind of model, any batch, its metadata, int8, and files that are too big for one."""

import json
import sys

import described
import numpy as np
import onnx
import onnxruntime
import pytest

from vit_sentiment.exporting import checking, onnx_file
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize("name", described.VARIANTS)
def test_each_kind_of_model_computes_the_same_for_any_batch(name, tmp_path):
    model = described.model(**described.VARIANTS[name])
    path = tmp_path / "model.onnx"
    onnx_file.write(path, model)
    run = onnx_file.load(path, model)
    pixels = described.pixels(model.description)
    found = checking.differences(checking.ours(model), run, pixels, (1, 2, 5))
    assert set(found) == set(checking.output_names(model))
    assert max(found.values()) < 1e-5
    session = onnxruntime.InferenceSession(path)
    assert [value.name for value in session.get_outputs()] == checking.output_names(model)
    (taken,) = session.get_inputs()
    assert (taken.name, taken.shape) == ("pixels", ["batch", 16, 24, 3])
    told = session.get_modelmeta().custom_metadata_map
    assert told["model_id"] == model.model_id
    description = ModelDescription.from_json(json.loads(told["description"]), "metadata")
    assert description == model.description
    assert json.loads(told["classes"]) == list(model.description.classes)


def test_layer_norms_and_gelus_are_single_nodes(tmp_path):
    model = described.model(gelu="exact", head_hidden=5)
    onnx_file.write(tmp_path / "model.onnx", model)
    graph = onnx.load(tmp_path / "model.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("LayerNormalization") == 2 * model.description.num_layers + 1
    forms = [node.attribute[0].s for node in graph.node if node.op_type == "Gelu"]
    assert forms == [b"none"] * model.description.num_layers + [b"tanh"]
    assert "Transformer/encoderblock_1/MlpBlock_0/Dense_0/kernel" in {
        value.name for value in graph.initializer
    }


@pytest.mark.parametrize("name", ["class token, tanh", "map", "two-layer head, exact", "no head"])
def test_int8_has_quantised_weights_and_keeps_the_metadata(name, tmp_path, capfd):
    model = described.model(**described.VARIANTS[name])
    path = tmp_path / "model.onnx"
    onnx_file.write(path, model)
    int8 = onnx_file.int8_path(path)
    onnx_file.quantise(path, int8)
    assert int8.name == "model.int8.onnx"
    read = onnx.load(int8)
    weights = [v for v in read.graph.initializer if v.data_type == onnx.TensorProto.INT8]
    # Per block: q, k, v, output and two of the MLP.
    assert sum(v.name.startswith("Transformer/") and v.dims[:] != [1] and len(v.dims) == 2
               for v in weights) == 6 * model.description.num_layers  # fmt: skip
    assert {p.key: p.value for p in read.metadata_props}["model_id"] == model.model_id
    pixels = described.pixels(model.description)
    ours = checking.ours(model)
    found = checking.differences(ours, onnx_file.load(int8, model), pixels, (1, 5))
    assert 0 < found["features"] < 0.1 * np.abs(ours(pixels)["features"]).max()
    assert capfd.readouterr().err == ""


def test_what_is_too_big_for_one_file_is_in_two(tmp_path, monkeypatch):
    model = described.model()
    monkeypatch.setattr(onnx_file, "MOST_BYTES", 1000)
    path = tmp_path / "model.onnx"
    onnx_file.write(path, model)
    onnx_file.quantise(path, onnx_file.int8_path(path))
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"model.onnx", "model.onnx.data", "model.int8.onnx"}
    assert names <= {file.name for file in onnx_file.names(path)}
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("model.onnx", "model.onnx.data"):
        (tmp_path / name).rename(moved / name)
    run = onnx_file.load(moved / "model.onnx", model)
    pixels = described.pixels(model.description)
    found = checking.check(model, run, pixels, (1, 3), 1e-5, "out")
    assert found["probs"] < 1e-5


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="pip install onnx onnxruntime"):
        onnx_file.packages()
