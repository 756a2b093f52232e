import json
import re

import jax
import numpy as np
import pytest
from npz_files import arrays, assert_one_line, restore, save

from checkpoints import formats, google_npz, positions
from vit_sentiment.inference.forward import outputs
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

BLOCK_0 = "Transformer/encoderblock_0/"
QUERY = BLOCK_0 + "MultiHeadDotProductAttention_1/query/kernel"
ATTENTION = re.compile(r"Transformer/encoderblock_\d+/MultiHeadDotProductAttention_1/\w+/(\w+)")


def run(description, params, images):
    return jax.jit(lambda params, images: outputs(description, params, images))(params, images)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def matrices(flat):
    """The attention stored as matrices and vectors, as converters from other frameworks do."""

    def flatten(name, value):
        match = ATTENTION.fullmatch(name)
        if not match or name.endswith("out/bias"):
            return value
        if match[1] == "bias":
            return value.reshape(-1)
        return (
            value.reshape(-1, value.shape[-1]) if "/out/" in name else value.reshape(len(value), -1)
        )

    return {name: flatten(name, value) for name, value in flat.items()}


def test_outputs_are_googles(google):
    path, expected = google
    described, params = restore(path)
    found = run(described.description, params, expected["images"])
    np.testing.assert_allclose(found["features"], expected["features"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-5, rtol=0)


def test_positions_are_resized_exactly_as_google_does(google):
    path, expected = google
    described, params = restore(path)
    description = described.description
    size = expected["images_resized"].shape[1:3]
    params, resized = positions.for_size(params, description, size)
    table = params["Transformer"]["posembed_input"]["pos_embedding"]
    np.testing.assert_array_equal(table, expected["pos_embedding_resized"])
    found = run(resized, params, expected["images_resized"])
    np.testing.assert_allclose(found["features"], expected["features_resized"], atol=1e-5, rtol=0)


def test_positions_of_a_grid_that_is_not_square_keep_corners_and_class_token():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(1, 1 + 2 * 3, 4)).astype(np.float32)
    found = positions.resize(table, (2, 3), (3, 5), class_token=True)
    grid = table[0, 1:].reshape(2, 3, 4)
    wide = np.stack(
        [grid[:, 0], grid[:, :2].mean(1), grid[:, 1], grid[:, 1:].mean(1), grid[:, 2]], 1
    )
    expected = np.stack([wide[0], wide.mean(0), wide[1]])
    assert found.shape == (1, 16, 4)
    np.testing.assert_array_equal(found[:, 0], table[:, 0])
    np.testing.assert_allclose(found[0, 1:].reshape(3, 5, 4), expected, atol=1e-6)


def test_the_description_is_told_by_shapes(golden):
    original, _ = restore(golden / "google_original/checkpoint.npz")
    assert original.description == ModelDescription(
        image_size=(32, 32), patch_size=8, hidden_size=48, num_layers=2, num_heads=4, mlp_size=96,
        representation_size=48, num_classes=21, classes=(),
    )  # fmt: skip
    augreg, _ = restore(golden / "google_augreg/checkpoint.npz")
    assert augreg.description == ModelDescription(
        image_size=(48, 48), patch_size=16, hidden_size=64, num_layers=3, num_heads=4,
        mlp_size=128, num_classes=21, classes=(),
    )  # fmt: skip
    assert (original.unknown, augreg.unknown) == ((), ())
    assert original.kind != augreg.kind
    assert any("tanh" in fact for fact in original.assumed)


def test_a_head_of_zeros_is_told(golden, tmp_path):
    flat = arrays(golden / "google_original/checkpoint.npz")
    assert "zeros" not in google_npz.describe("x.npz", flat).kind
    flat["head/kernel"] = np.zeros_like(flat["head/kernel"])
    assert "zeros" in google_npz.describe(tmp_path / "x.npz", flat).kind


def test_what_is_written_reads_back_identical(google, tmp_path):
    path, _ = google
    described, params = restore(path)
    google_npz.write(tmp_path / "model.npz", params, described.description)
    assert_same(arrays(tmp_path / "model.npz"), arrays(path))
    again, params_again = restore(tmp_path / "model.npz")
    assert again.description == described.description
    assert again.unknown == ()
    jax.tree.map(np.testing.assert_array_equal, params_again, params)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.json", "model.npz"]


def test_a_description_tells_what_shapes_cannot(golden, tmp_path):
    described, params = restore(golden / "keras_train/initial.npz", gelu="exact")
    description = described.description.replace(
        gelu="exact", layer_norm_epsilon=1e-12, input_range=(0.0, 1.0), output_mask=(1.0, 0.5, 1.0)
    )
    google_npz.write(tmp_path / "model.npz", params, description)
    assert restore(tmp_path / "model.npz")[0].description == description
    assert restore(tmp_path / "model.npz", gelu="exact")[0].description == description
    with pytest.raises(UserError, match="--gelu=tanh contradicts the file, which has exact"):
        restore(tmp_path / "model.npz", gelu="tanh")
    with pytest.raises(UserError, match=r"--image_size=.*contradicts"):
        restore(tmp_path / "model.npz", image_size=(64, 64))


def test_a_description_of_other_weights_is_refused(golden, tmp_path):
    described, params = restore(golden / "google_original/checkpoint.npz")
    google_npz.write(tmp_path / "model.npz", params, described.description)
    flat = arrays(tmp_path / "model.npz")
    flat["cls"] = flat["cls"] + 1
    save(tmp_path / "model.npz", flat)
    with pytest.raises(UserError, match=r"model\.json: describes weights \w{16}, .*holds \w{16}"):
        restore(tmp_path / "model.npz")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model_id": "x"}', "null"])
def test_a_description_that_is_none_is_refused(golden, tmp_path, text):
    save(tmp_path / "model.npz", arrays(golden / "google_original/checkpoint.npz"))
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(UserError, match=r"model\.json"):
        restore(tmp_path / "model.npz")


def test_an_incomplete_description_names_the_field(golden, tmp_path):
    described, params = restore(golden / "google_original/checkpoint.npz")
    google_npz.write(tmp_path / "model.npz", params, described.description)
    saved = json.loads((tmp_path / "model.json").read_text())
    del saved["description"]["patch_size"]
    (tmp_path / "model.json").write_text(json.dumps(saved))
    with pytest.raises(UserError, match=r"model\.json: missing fields.*patch_size"):
        restore(tmp_path / "model.npz")


def test_the_original_systems_head_with_exact_gelu(golden):
    """The golden training's loss of the first step, before any update, from our probabilities."""
    described, params = restore(golden / "keras_train/initial.npz", gelu="exact")
    assert described.unknown == ()
    assert described.description.head_hidden == 32
    assert described.description.classes == ("negative", "neutral", "positive")
    expected = arrays(golden / "keras_train/expected.npz")
    labels, weights = expected["labels"][0], expected["class_weights"]
    probs = run(described.description, params, expected["images"][0])["probs"]
    targets = 0.8 * np.eye(3)[labels] + 0.2 / 3
    losses = -(targets * np.log(np.asarray(probs, np.float64))).sum(1)
    loss = (losses * weights[labels]).sum() / 8
    assert abs(loss - expected["full_losses"][0]) < 1e-5
    assert abs(loss - expected["head_only_losses"][0]) < 1e-5


def test_the_gelu_of_such_a_file_is_unknown_unless_given(golden):
    described, _ = restore(golden / "keras_train/initial.npz")
    assert described.unknown == ("gelu",)


def test_matrix_kernels_need_the_number_of_heads(golden, tmp_path):
    expected = arrays(golden / "google_augreg/checkpoint.npz")
    path = save(tmp_path / "model.npz", matrices(expected))
    assert arrays(path)[QUERY].shape == (64, 64)
    with pytest.raises(UserError, match="pass --num_heads") as error:
        restore(path)
    assert_one_line(error, path)
    described, params = restore(path, num_heads=4)
    assert described.description.num_heads == 4
    google_npz.write(tmp_path / "again.npz", params, described.description)
    assert_same(arrays(tmp_path / "again.npz"), expected)


def test_what_contradicts_the_file_is_refused(golden):
    path = golden / "google_augreg/checkpoint.npz"
    with pytest.raises(UserError, match="--num_heads=8 contradicts the file, which has 4") as error:
        restore(path, num_heads=8)
    assert_one_line(error, path)
    assert restore(path, num_heads=4)[0].description.num_heads == 4
    with pytest.raises(UserError, match="pos_embedding"):
        restore(path, image_size=(64, 64))


def test_a_grid_that_is_not_square_needs_the_image_size(golden, tmp_path):
    flat = arrays(golden / "google_original/checkpoint.npz")
    flat[positions.NAME] = flat[positions.NAME][:, :13]
    path = save(tmp_path / "model.npz", flat)
    with pytest.raises(UserError, match=r"12 positions.*--image_size=HEIGHTxWIDTH") as error:
        restore(path)
    assert_one_line(error, path)
    described, _ = restore(path, image_size=(24, 32))
    assert described.description.grid == (3, 4)


def test_one_error_lists_all_that_does_not_fit(golden, tmp_path):
    flat = arrays(golden / "google_original/checkpoint.npz")
    del flat["cls"], flat[BLOCK_0 + "LayerNorm_2/scale"]
    flat["Transformer/encoder_norm/gamma"] = np.zeros(48, np.float32)
    flat["opt/step"] = np.zeros((), np.int32)
    flat["head/bias"] = np.zeros(20, np.float32)
    flat[BLOCK_0 + "MlpBlock_3/Dense_1/kernel"] = np.zeros((48, 96), np.float32)
    flat["embedding/bias"] = np.zeros((1, 47), np.float32)
    path = save(tmp_path / "model.npz", flat)
    with pytest.raises(UserError) as error:
        restore(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "2 missing, 2 unexpected, 3 mis-shaped" in text
    for line in (
        "missing: cls (1, 1, 48)",
        f"missing: {BLOCK_0}LayerNorm_2/scale (48,)",
        "unexpected: Transformer/encoder_norm/gamma (48,)",
        "unexpected: opt/step ()",
        "mis-shaped: head/bias: expected (21,), found (20,)",
        f"mis-shaped: {BLOCK_0}MlpBlock_3/Dense_1/kernel: expected (96, 48), found (48, 96)",
        "mis-shaped: embedding/bias: expected (48,), found (1, 47)",
    ):
        assert f"  {line}\n" in text + "\n"
    assert len(text.splitlines()) == 8


def test_a_missing_block_and_a_missing_head_part_are_listed(golden, tmp_path):
    flat = arrays(golden / "google_augreg/checkpoint.npz")
    flat = {name: value for name, value in flat.items() if "encoderblock_1/" not in name}
    del flat["head/bias"]
    with pytest.raises(UserError, match="17 missing, 0 unexpected, 0 mis-shaped"):
        restore(save(tmp_path / "model.npz", flat))


def test_other_weights_are_told_by_their_keys(tmp_path):
    path = save(tmp_path / "model.npz", {"conv1/kernel": np.zeros((3, 3)), "fc/bias": np.zeros(3)})
    with pytest.raises(UserError, match=r"not a ViT checkpoint.*conv1/kernel, fc/bias") as error:
        restore(path)
    assert_one_line(error, path)
    with pytest.raises(UserError, match="not a ViT checkpoint"):
        restore(save(tmp_path / "empty.npz", {}))


def test_initialise_takes_the_backbone_and_makes_a_fresh_head(google):
    path, expected = google
    described, _ = restore(path)
    size = expected["images_resized"].shape[1:3]
    description = described.description.replace(
        image_size=size, representation_size=None, num_classes=3, head_hidden=8,
        classes=("negative", "neutral", "positive"),
    )  # fmt: skip
    params = formats.initialise(path, description, jax.random.key(0))
    assert set(params) == {"cls", "embedding", "Transformer", "head_hidden", "head_out"}
    positions = params["Transformer"]["posembed_input"]["pos_embedding"]
    np.testing.assert_array_equal(positions, expected["pos_embedding_resized"])
    found = run(description, params, expected["images_resized"])
    np.testing.assert_allclose(found["features"], expected["features_resized"], atol=1e-5, rtol=0)
    assert np.asarray(params["head_out"]["kernel"]).any()


def test_initialise_lists_all_that_does_not_fit(golden):
    path = golden / "google_augreg/checkpoint.npz"
    description = ModelDescription(
        image_size=(48, 48), patch_size=16, hidden_size=64, num_layers=4, num_heads=4, mlp_size=32
    )
    with pytest.raises(UserError, match="16 missing, 0 unexpected, 9 mis-shaped") as error:
        formats.initialise(path, description, jax.random.key(0))
    assert str(error.value).startswith(f"{path}: ")


def linen(flat):
    """Today's numbers: LayerNorm_0, MultiHeadDotProductAttention_0, LayerNorm_1, MlpBlock_0."""
    pairs = (("LayerNorm_2", "LayerNorm_1"), ("Attention_1", "Attention_0"), ("Block_3", "Block_0"))
    renamed = {}
    for name, value in flat.items():
        for old, new in pairs:
            name = name.replace(old, new)
        renamed[name] = value
    return renamed


def stacked(flat):
    """The blocks of each array along a first axis."""
    rest = {k: v for k, v in flat.items() if "encoderblock_" not in k}
    names = [k.removeprefix(BLOCK_0) for k in flat if k.startswith(BLOCK_0)]
    layers = 1 + max(int(k.split("encoderblock_")[1].split("/")[0]) for k in flat if "block_" in k)
    return rest | {
        f"Transformer/encoderblock/{name}": np.stack(
            [flat[f"Transformer/encoderblock_{i}/{name}"] for i in range(layers)]
        )
        for name in names
    }


@pytest.mark.parametrize("prefix", ["", "opt/target/", "params/", "params/img/"])
@pytest.mark.parametrize("layout", [dict, linen, stacked, lambda flat: stacked(linen(flat))])
def test_other_layouts_of_the_same_arrays_read_alike(golden, tmp_path, prefix, layout):
    with np.load(golden / "google_original" / "checkpoint.npz") as archive:
        flat = dict(archive)
    other = {prefix + key: value for key, value in layout(flat).items()}
    if prefix:
        other[prefix.split("/")[0] + "_state/step"] = np.float32(3)
    found = google_npz.read(save(tmp_path / "model.npz", other))
    assert found.keys() == flat.keys()
    assert all(np.array_equal(found[key], flat[key]) for key in flat)
