"""SigLIP's image tower in Hugging Face's folders: what transformers computes, and damaged ones."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from npz_files import arrays, restore

from checkpoints import formats, huggingface, siglip, trees
from vit_sentiment.inference import forward, model
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
LAYER = "encoder.layers.1."


@pytest.fixture(scope="module")
def expected(golden):
    """Images [3, 32, 32, 3] and the features that transformers made of them."""
    values = arrays(golden / "siglip_hf/expected.npz")
    return values["pixel_values"].transpose(0, 2, 3, 1), values["pooler_output"]


@pytest.fixture
def folder(golden, tmp_path):
    """A copy of the folder with the image tower alone."""
    for name in ("config.json", WEIGHTS):
        (tmp_path / "siglip").mkdir(exist_ok=True)
        shutil.copy(golden / "siglip_hf" / name, tmp_path / "siglip" / name)
    return tmp_path / "siglip"


def load(folder):
    return safetensors.numpy.load_file(folder / WEIGHTS)


def store(folder, flat):
    flat = {name: np.asarray(value, order="C") for name, value in flat.items()}
    safetensors.numpy.save_file(flat, folder / WEIGHTS)


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def assert_equal(found, params):
    assert jax.tree.structure(found) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, found, params)


def assert_refused(folder, *parts):
    """One line that begins with the folder or a file in it."""
    with pytest.raises(UserError) as error:
        restore(folder)
    text = str(error.value)
    assert text.startswith(str(folder))
    assert len(text.splitlines()) == 1, text
    for part in parts:
        assert part in text


@pytest.mark.parametrize("name", [".", "full"])
def test_features_are_those_of_transformers(golden, expected, name):
    images, features = expected
    loaded = model.load(golden / "siglip_hf" / name)
    found = jax.jit(forward.outputs, static_argnums=0)(loaded.description, loaded.params, images)
    assert set(found) == {"features"}
    np.testing.assert_allclose(found["features"], features, atol=1e-5, rtol=0)


def test_the_command_gives_transformers_features(run, golden, expected, tmp_path):
    images, features = expected
    np.save(tmp_path / "images.npy", images)
    out = tmp_path / "outputs.npz"
    folder = golden / "siglip_hf/full"
    done = run(
        "checkpoints.inspect", folder, f"--forward={tmp_path / 'images.npy'}", f"--out={out}"
    )
    assert done.returncode == 0, done.stderr
    found = arrays(out)
    assert set(found) == {"features"}
    np.testing.assert_allclose(found["features"], features, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [".", "full"])
def test_the_description_is_the_configs(golden, name):
    described, params = restore(golden / "siglip_hf" / name)
    assert described.description == ModelDescription(
        image_size=(32, 32), patch_size=8, hidden_size=48, num_layers=2, num_heads=4, mlp_size=96,
        class_token=False, pooling="map", num_classes=0, classes=(),
    )  # fmt: skip
    assert described.unknown == ()
    assert set(params) == {"embedding", "Transformer", "MAPHead_0"}


def test_names_with_and_without_the_prefix_and_the_text_tower_are_one_model(golden, folder):
    _, params = restore(folder)
    assert_equal(restore(golden / "siglip_hf/full")[1], params)
    store(folder, {f"vision_model.{name}": value for name, value in load(folder).items()})
    assert_equal(restore(folder)[1], params)


def test_what_a_config_leaves_out_is_transformers_default():
    """google/siglip-base-patch16-224 states nothing but its type."""
    description = siglip.describe({"vision_config": {"model_type": "siglip_vision_model"}})
    assert description.image_size == (224, 224)
    assert (description.patch_size, description.hidden_size) == (16, 768)
    assert (description.num_layers, description.num_heads, description.mlp_size) == (12, 12, 3072)
    assert (description.gelu, description.layer_norm_epsilon) == ("tanh", 1e-6)


def test_pixels_that_fill_no_patch_are_not_counted():
    """google/siglip-so400m-patch14-384 has 27 x 27 positions."""
    description = siglip.describe({"image_size": 384, "patch_size": 14})
    assert description.image_size == (378, 378)
    assert description.num_positions == 27 * 27


def test_gelu_and_epsilon_are_the_configs(folder):
    configure(folder, hidden_act="gelu", layer_norm_eps=1e-5)
    description = restore(folder)[0].description
    assert (description.gelu, description.layer_norm_epsilon) == ("exact", 1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, np.float16])
def test_half_precision_becomes_float32(folder, dtype):
    _, params = restore(folder)
    store(folder, {name: value.astype(dtype) for name, value in load(folder).items()})
    rounded = jax.tree.map(lambda leaf: leaf.astype(dtype).astype(np.float32), params)
    assert_equal(restore(folder)[1], rounded)


def shard(folder):
    """The weights in two parts, as transformers saves large models."""
    flat = load(folder)
    names = sorted(flat)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        safetensors.numpy.save_file({name: flat[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / WEIGHTS).unlink()


def test_weights_in_parts_are_one_model(folder):
    _, params = restore(folder)
    shard(folder)
    assert_equal(restore(folder)[1], params)


def test_a_missing_part_is_named(folder):
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert_refused(folder, "model-00002-of-00002.safetensors: no such file")


@pytest.mark.parametrize("text", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}'])
def test_an_index_of_something_else_is_refused(folder, text):
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(text)
    assert_refused(folder, f"{INDEX}: expected a weight_map")


@pytest.mark.parametrize("kind", ["beit", None, ["siglip"]])
def test_an_unknown_family_is_refused_with_the_known(folder, kind):
    configure(folder, model_type=kind)
    assert_refused(folder, f"model_type {kind!r}", "siglip, siglip_vision_model")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"hidden_size": "large"}, "not a config of siglip_vision_model"),
        ({"vision_config": 3}, "not a config of siglip_vision_model"),
        ({"patch_size": 0}, "not a config of siglip_vision_model"),
        ({"hidden_act": "relu"}, "gelu must be one of"),
        ({"num_attention_heads": 5}, "num_heads 5"),
        ({"image_size": 7}, "image_size"),
    ],
)
def test_a_config_that_cannot_be_built_is_refused(folder, changes, part):
    configure(folder, **changes)
    assert_refused(folder, "config.json: ", part)


@pytest.mark.parametrize("text", ["{", "[]", "null", '"siglip"'])
def test_a_config_that_is_none_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    assert_refused(folder, "config.json")


def test_missing_weights_are_named(folder):
    (folder / WEIGHTS).unlink()
    assert_refused(folder, f"expected {WEIGHTS}")


def test_pickled_weights_are_never_loaded(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    assert_refused(folder, f"expected {WEIGHTS}; pickled weights are never loaded")


@pytest.mark.parametrize("size", [0, 4, 1000, -1])
def test_a_truncated_file_is_refused(folder, size):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:size])
    assert_refused(folder, f"{WEIGHTS}: damaged or unsupported .safetensors file")


def test_a_folder_of_something_else_is_refused(tmp_path):
    assert_refused(tmp_path, "config.json", "model.json")


def test_facts_of_npz_files_are_not_for_folders(folder):
    with pytest.raises(UserError, match="a folder tells what its model is itself"):
        restore(folder, gelu="exact")


def test_one_error_lists_all_that_does_not_fit(folder):
    flat = load(folder)
    del flat["head.probe"], flat[LAYER + "layer_norm1.weight"]
    flat["head.gate"] = np.zeros(3, np.float32)
    flat[LAYER + "self_attn.q_proj.weight"] = np.zeros((47, 48), np.float32)
    flat[LAYER + "mlp.fc1.weight"] = np.zeros((48, 96), np.float32)
    flat["head.attention.in_proj_bias"] = np.zeros((), np.float32)
    flat["embeddings.patch_embedding.weight"] = np.zeros((48, 192), np.float32)
    store(folder, flat)
    with pytest.raises(UserError) as error:
        restore(folder)
    first, *lines = str(error.value).splitlines()
    assert first.startswith(f"{folder}: does not fit the model: 2 missing, 1 unexpected, 6 ")
    block = "Transformer/encoderblock_1/"
    assert lines[:3] == [
        "  missing: MAPHead_0/probe (1, 1, 48)",
        f"  missing: {block}LayerNorm_0/scale (48,)",
        "  unexpected: head.gate (3,)",
    ]
    pooling = "MAPHead_0/MultiHeadDotProductAttention_0/"
    for line in (
        *(f"{pooling}{name}/bias: expected (4, 12), found ()" for name in ("query", "key")),
        f"{block}MlpBlock_3/Dense_0/kernel: expected (48, 96), found (96, 48)",
        "embedding/kernel: expected (8, 8, 3, 48), found (48, 192)",
    ):
        assert f"  mis-shaped: {line}" in lines
    (query,) = [line for line in lines if "query/kernel" in line]
    assert query.endswith("expected (48, 4, 12), found (47, 48)")


def test_every_array_of_the_image_tower_is_taken_once(golden):
    """The numbers of the file are those of the tree."""
    flat = load(golden / "siglip_hf")
    _, params = restore(golden / "siglip_hf")
    found, expected = (
        np.sort(np.concatenate([value.ravel() for value in values]))
        for values in (trees.flatten(params).values(), flat.values())
    )
    np.testing.assert_array_equal(found, expected)


def test_a_run_starts_from_a_folder(golden):
    description = restore(golden / "siglip_hf")[0].description.replace(
        num_classes=3, classes=("negative", "neutral", "positive")
    )
    params = formats.initialise(golden / "siglip_hf", description, jax.random.key(0))
    found, head = trees.split_head(trees.flatten(params))
    assert sorted(head) == ["head/bias", "head/kernel"]
    _, flat = huggingface.read(golden / "siglip_hf")
    assert_equal(found, flat)
