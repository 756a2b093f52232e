"""big_vision's files: what its own code computes, older names, bfloat16, and our own writer.

timm 1.0.31 computed the features and logits of `golden/big_vision` from what `google_npz.write`
made of `gap`, `map`, `siglip` and `tok`.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from npz_files import arrays, assert_one_line, restore, save

from checkpoints import google_npz
from vit_sentiment.inference.forward import outputs
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

NAMES = ("gap", "gap_scan", "map", "map_pre_logits", "tok", "siglip")
POOLINGS = {"gap": "mean", "gap_scan": "mean", "tok": "cls"}
BLOCK = r"Transformer/encoderblock_(\d+)/"
POOLING_PARTS = ("probe", "LayerNorm_0", "MlpBlock_0", "MultiHeadDotProductAttention_0")


@pytest.fixture(scope="module")
def expected(golden):
    """Images, and features and logits of each file."""
    return arrays(golden / "big_vision/expected.npz")


@pytest.fixture(scope="module")
def compute():
    """A function of description, parameters and images to features and logits."""
    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    return jax.jit(outputs, static_argnums=0, compiler_options=quick)


def assert_equal(found, params):
    assert jax.tree.structure(found) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, found, params)


@pytest.mark.parametrize("name", NAMES)
def test_features_and_logits_are_big_visions(golden, expected, compute, name):
    described, params = restore(golden / f"big_vision/{name}.npz")
    assert described.unknown == ()
    found = compute(described.description, params, expected["images"])
    for key in ("features", "logits"):
        if f"{name}/{key}" in expected:
            np.testing.assert_allclose(found[key], expected[f"{name}/{key}"], atol=1e-5, rtol=0)
        else:
            assert key not in found


@pytest.mark.parametrize("name", NAMES)
def test_the_description_is_told_by_shapes(golden, name):
    described, _ = restore(golden / f"big_vision/{name}.npz")
    assert described.description == ModelDescription(
        image_size=(32, 32), patch_size=8, hidden_size=48, num_layers=3, num_heads=4, mlp_size=96,
        class_token=name == "tok", pooling=POOLINGS.get(name, "map"),
        representation_size=48 if name == "map_pre_logits" else None,
        num_classes=0 if name == "siglip" else 7, classes=(),
    )  # fmt: skip
    assert ("big_vision" in described.kind) == (name != "tok")


def test_stacked_blocks_are_the_same_parameters(golden):
    assert_equal(*(restore(golden / f"big_vision/{name}.npz")[1] for name in ("gap_scan", "gap")))


def test_the_text_tower_is_left_out(golden):
    flat = arrays(golden / "big_vision/siglip.npz")
    assert {"params/t", "params/b", "params/txt/head/kernel"} < flat.keys()
    _, params = restore(golden / "big_vision/siglip.npz")
    assert set(params) == {"embedding", "Transformer", "MAPHead_0"}
    image = sum(value.size for name, value in flat.items() if name.startswith("params/img/"))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == image


def test_one_error_lists_all_that_does_not_fit(golden, tmp_path):
    flat = arrays(golden / "big_vision/siglip.npz")
    del flat["params/img/MAPHead_0/probe"]
    flat["params/img/MAPHead_0/gate"] = np.zeros(3, np.float32)
    flat["params/img/MAPHead_0/LayerNorm_0/bias"] = np.zeros(47, np.float32)
    with pytest.raises(UserError) as error:
        restore(save(tmp_path / "model.npz", flat))
    assert str(error.value).splitlines()[1:] == [
        "  missing: MAPHead_0/probe (1, 1, 48)",
        "  unexpected: MAPHead_0/gate (3,)",
        "  mis-shaped: MAPHead_0/LayerNorm_0/bias: expected (48,), found (47,)",
    ]


def test_the_command_gives_big_visions_outputs(run, golden, expected, tmp_path):
    np.save(tmp_path / "images.npy", expected["images"])
    out = tmp_path / "outputs.npz"
    file = golden / "big_vision/map.npz"
    done = run("checkpoints.inspect", file, f"--forward={tmp_path / 'images.npy'}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    found = arrays(out)
    assert set(found) == {"features", "logits"}
    for key, value in found.items():
        np.testing.assert_allclose(value, expected[f"map/{key}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["gap", "map", "map_pre_logits", "siglip", "tok"])
def test_what_is_written_reads_back_identical(golden, tmp_path, name):
    described, params = restore(golden / f"big_vision/{name}.npz")
    path = tmp_path / "model.npz"
    google_npz.write(path, params, described.description)
    again, params_again = restore(path)
    assert again.description == described.description
    assert_equal(params_again, params)
    path.with_suffix(".json").unlink()
    by_shapes, params_again = restore(path)
    assert by_shapes == described
    assert_equal(params_again, params)


@pytest.mark.parametrize("name", ["gap", "map", "siglip", "tok"])
def test_what_is_written_has_the_names_that_timm_reads(golden, tmp_path, name):
    described, params = restore(golden / f"big_vision/{name}.npz")
    google_npz.write(tmp_path / "model.npz", params, described.description)
    written = arrays(tmp_path / "model.npz")
    # Signs by which timm expects today's numbers in the blocks (`_load_weights`).
    assert not any(key.startswith(("params/", "opt/target/")) for key in written)
    assert "pos_embedding" not in written
    assert "Transformer/encoderblock/LayerNorm_0/scale" not in written
    # Without them it reads the released ones.
    table = written["Transformer/posembed_input/pos_embedding"]
    assert table.shape == (1, 17 if name == "tok" else 16, 48)
    blocks = [match for match in (re.match(BLOCK + r"(\w+)", key) for key in written) if match]
    assert {match[2] for match in blocks} == {
        "LayerNorm_0", "MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3"
    }  # fmt: skip
    # The attention pooling's names are today's, whatever the numbers of the blocks are.
    pooling = {key.split("/")[1] for key in written if key.startswith("MAPHead_0/")}
    assert pooling == (set(POOLING_PARTS) if name in ("map", "siglip") else set())


def test_bfloat16_comes_out_as_the_numbers_it_stands_for(golden, tmp_path):
    flat = arrays(golden / "big_vision/map.npz")
    path = save(tmp_path / "model.npz", {k: v.astype(jnp.bfloat16) for k, v in flat.items()})
    assert {value.dtype for value in arrays(path).values()} == {np.dtype("V2")}
    found = google_npz.read(path)
    assert {value.dtype for value in found.values()} == {np.dtype("float32")}
    _, params = restore(path)
    _, exact = restore(golden / "big_vision/map.npz")
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(np.float32), exact)
    assert_equal(params, rounded)


def test_a_number_in_bfloat16_has_no_axes(tmp_path):
    found = google_npz.read(save(tmp_path / "x.npz", {"t": np.float32(1.5).astype(jnp.bfloat16)}))
    assert found["t"].shape == ()
    assert found["t"] == 1.5


def test_other_types_without_a_name_are_refused(tmp_path):
    path = save(tmp_path / "x.npz", {"t": np.zeros(3, "V4")})
    with pytest.raises(UserError, match="t: expected numbers") as error:
        google_npz.read(path)
    assert_one_line(error, path)


@pytest.mark.parametrize("place", ["pos_embedding", "Transformer/pos_embedding"])
@pytest.mark.parametrize("name", ["tok", "gap"])
def test_old_files_have_a_position_for_the_class_token(
    golden, expected, compute, tmp_path, name, place
):
    """Big_vision adds it to the token, or leaves it out with the token."""
    flat = arrays(golden / f"big_vision/{name}.npz")
    table = flat.pop("params/pos_embedding")
    slot = np.float32(np.random.default_rng(0).normal(size=(1, 1, 48)))
    flat[f"params/{place}"] = np.concatenate([slot, table], 1)
    if name == "tok":
        flat["params/cls"] = flat["params/cls"] - slot
    described, params = restore(save(tmp_path / "model.npz", flat))
    found = compute(described.description, params, expected["images"])
    np.testing.assert_allclose(found["logits"], expected[f"{name}/logits"], atol=1e-5, rtol=0)


def test_old_files_have_the_attention_pooling_at_the_top(golden, tmp_path):
    flat = arrays(golden / "big_vision/map.npz")
    old = {name.replace("MAPHead_0/", ""): value for name, value in flat.items()}
    assert "params/probe" in old
    described, params = restore(save(tmp_path / "model.npz", old))
    assert described.description.pooling == "map"
    assert_equal(params, restore(golden / "big_vision/map.npz")[1])
