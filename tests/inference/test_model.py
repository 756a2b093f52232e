import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import vit_sentiment
from checkpoints import google_npz
from checkpoints.orbax_store import Checkpoints
from vit_sentiment.inference.forward import batch_outputs, outputs
from vit_sentiment.inference.model import Model, load
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError


@pytest.fixture(scope="module")
def original(golden):
    with np.load(golden / "google_original/expected.npz") as file:
        return golden / "google_original/checkpoint.npz", dict(file)


@pytest.fixture(scope="module")
def student(golden):
    """The original system's architecture with random weights, probabilities of three classes."""
    return load(golden / "keras_train/initial.npz", gelu="exact")


@pytest.fixture(scope="module")
def run_student(student):
    """Its forward path, compiled once."""
    return student.forward(2)


def random_pixels(count):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def workdir(student, tmp_path_factory):
    """A training run's: step 1 is the best, step 2 the latest, with twice the output's bias."""
    root = tmp_path_factory.mktemp("workdir")
    (root / "model.json").write_text(json.dumps(student.description.to_json()))
    with Checkpoints(root) as checkpoints:
        for step, score in ((1, 0.9), (2, 0.1)):
            params = jax.tree.map(lambda leaf, step=step: jnp.asarray(leaf) * step, student.params)
            checkpoints.save(
                step, {"params": params, "train": {"step": jnp.int32(step)}}, score=score
            )
    return root


def assert_trees_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_forward_from_pixels_gives_googles_outputs(original):
    path, expected = original
    pixels = (expected["images"] + 1) * np.float32(127.5)
    found = load(path).forward(len(pixels))(pixels)
    np.testing.assert_allclose(found["features"], expected["features"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-5, rtol=0)
    exponents = np.exp(expected["logits"].astype(np.float64))
    probs = exponents / exponents.sum(1, keepdims=True)
    np.testing.assert_allclose(found["probs"], probs, atol=1e-5, rtol=0)
    assert all(type(value) is np.ndarray for value in found.values())


def test_uint8_and_float32_pixels_give_the_same(run_student):
    pixels = random_pixels(2)
    one, other = run_student(pixels), run_student(pixels.astype(np.float32))
    for key in ("features", "logits", "probs"):
        np.testing.assert_array_equal(one[key], other[key])


def test_a_model_without_head_has_features_alone(original):
    model = load(original[0])
    description = model.description.replace(num_classes=0, representation_size=None)
    params = {k: v for k, v in model.params.items() if k not in ("head", "pre_logits")}
    found = jax.jit(lambda *args: outputs(description, *args))(params, original[1]["images"])
    assert set(found) == {"features"}
    np.testing.assert_allclose(found["features"], original[1]["features"], atol=1e-5, rtol=0)


def test_an_output_mask_multiplies_the_probabilities(student, run_student):
    pixels = random_pixels(2)
    plain = run_student(pixels)
    np.testing.assert_allclose(plain["probs"].sum(1), 1, atol=1e-6)
    description = student.description.replace(output_mask=(1.0, 1e-7, 0.5))
    masked = Model(description, student.params, "").forward(2)(pixels)
    np.testing.assert_array_equal(masked["logits"], plain["logits"])
    expected = plain["probs"] * np.float32([1, 1e-7, 0.5])
    np.testing.assert_allclose(masked["probs"], expected, rtol=1e-6)


def calibration(temperature, step=None):
    return Calibration(
        temperature, (0.2, 0.3, 0.5), 9, "tweets", "validation", "human_label", "0f", step,
        [(0, 1, 0.5)],
    )  # fmt: skip


def test_a_calibration_divides_the_logits_of_the_probabilities_alone(student, run_student):
    pixels = random_pixels(2)
    plain = run_student(pixels)
    description = student.description.replace(calibration=calibration(0.25))
    found = Model(description, student.params, "").forward(2)(pixels)
    np.testing.assert_array_equal(found["logits"], plain["logits"])
    expected = scipy.special.softmax(plain["logits"].astype(np.float64) * 4, axis=1)
    np.testing.assert_allclose(found["probs"], expected, rtol=1e-5)
    mask = (1.0, 1e-7, 0.5)
    masking = description.replace(output_mask=mask)
    masked = Model(masking, student.params, "").forward(2)(pixels)
    np.testing.assert_allclose(masked["probs"], expected * mask, rtol=1e-5)


def test_a_calibration_belongs_to_one_step(student, workdir, tmp_path, capsys):
    root = tmp_path / "run"
    shutil.copytree(workdir, root)
    description = student.description.replace(calibration=calibration(2.0, step=2))
    (root / "model.json").write_text(json.dumps(description.to_json()))
    assert load(root, checkpoint="latest").description == description
    assert "without calibration" not in capsys.readouterr().err
    assert load(root, checkpoint="best").description == student.description
    assert "step 1 is used without calibration; the one in model.json is of step 2" in (
        capsys.readouterr().err
    )


def test_each_batch_comes_with_its_outputs(student, run_student):
    pixels = random_pixels(4)
    batches = [{"image": pixels[:2], "number": 0}, {"image": pixels[2:], "number": 1}]
    pairs = list(batch_outputs(student.description, student.params, batches))
    assert [batch["number"] for batch, _ in pairs] == [0, 1]
    for batch, found in pairs:
        np.testing.assert_array_equal(found["logits"], run_student(batch["image"])["logits"])


def test_a_file_that_does_not_tell_its_gelu_needs_it(golden):
    path = golden / "keras_train/initial.npz"
    with pytest.raises(UserError, match="cannot tell gelu") as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert load(path, gelu="tanh").description.gelu == "tanh"


def test_the_package_loads_models_by_name(original):
    model = vit_sentiment.load(original[0])
    assert model.source == str(original[0])
    assert isinstance(model.description, ModelDescription)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        vit_sentiment.lod


def test_the_model_id_tells_weights_apart(original, golden, tmp_path):
    model = load(original[0])
    google_npz.write(tmp_path / "copy.npz", model.params, model.description)
    assert load(tmp_path / "copy.npz").model_id == model.model_id
    assert len(model.model_id) == 16
    params = jax.tree.map(np.array, model.params)
    params["head"]["bias"][0] = np.nextafter(params["head"]["bias"][0], np.float32(9))
    assert Model(model.description, params, "").model_id != model.model_id
    assert load(golden / "google_augreg/checkpoint.npz").model_id != model.model_id


@pytest.mark.parametrize(("checkpoint", "step"), [("best", 1), ("latest", 2), ("1", 1), ("2", 2)])
def test_a_workdir_gives_the_chosen_step(student, workdir, checkpoint, step):
    model = load(workdir, checkpoint=checkpoint)
    assert model.description == student.description
    assert_trees_equal(model.params, jax.tree.map(lambda leaf: leaf * step, student.params))
    assert (model.source, model.step) == (f"{workdir} step {step}", step)


def test_a_folder_that_is_no_workdir_is_an_error(tmp_path, workdir):
    with pytest.raises(UserError, match=r"expected the workdir of a training run \(model\.json\)"):
        load(tmp_path)
    (tmp_path / "model.json").write_text((workdir / "model.json").read_text())
    with pytest.raises(UserError, match="no checkpoints here"):
        load(tmp_path)
    with pytest.raises(UserError, match="no checkpoint '9'"):
        load(workdir, checkpoint="9")
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "nothing")
