"""The command `export` to Hugging Face folders: what comes back, and what the card tells."""

import contextlib
import io
import json
import re

import described
import numpy as np
import pytest
from PIL import Image

from checkpoints import google_npz
from input_pipeline import pixels
from vit_sentiment.exporting import checking, huggingface, samples
from vit_sentiment.inference.model import load

pytestmark = pytest.mark.usefixtures("quick_compilation", "small_pictures")


@pytest.fixture(scope="module")
def exported(export, photos, tmp_path_factory):
    """(source, folder, standard output) of a model as people train them: uint8, calibrated."""
    folder = tmp_path_factory.mktemp("exported")
    model = described.model(num_layers=1, pixel_mode="uint8", calibration=described.CALIBRATION)
    source, out = folder / "model.npz", folder / "out"
    google_npz.write(source, model.params, model.description)
    words = (f"--data={photos}", f"--images={photos.parent}")
    with contextlib.redirect_stdout(io.StringIO()) as told:
        assert export(f"--model={source}", "--format=huggingface", f"--out={out}", *words) == 0
    return source, out, told.getvalue()


def test_a_model_as_people_train_it_comes_back(exported):
    source, out, _ = exported
    found, wanted = load(out), load(source)
    assert found.model_id == wanted.model_id
    calibration = found.description.calibration
    assert calibration.step is None  # A folder has no steps.
    assert found.description.replace(calibration=None) == wanted.description.replace(
        calibration=None
    )
    assert calibration.temperature == 2


def test_files_are_readable_as_others_of_the_user(exported, tmp_path):
    (tmp_path / "any").touch()
    usual = (tmp_path / "any").stat().st_mode
    modes = {path.name: path.stat().st_mode for path in exported[1].iterdir()}
    assert modes == dict.fromkeys(modes, usual)
    assert "model.safetensors" in modes


def test_the_card_tells_of_resizing(exported, photos):
    source, out, printed = exported
    card = (out / huggingface.CARD_FILE).read_text()
    told = re.search(r"over 7 photos its resizing changes probabilities by (\S+) on", card)
    assert told[0] in printed
    assert str(photos.parent) not in card
    model = load(source)
    images = [np.asarray(Image.open(photos.parent / f"{n}.png")) for n in range(7)]
    theirs = np.stack([huggingface.processor_pixels(i, (16, 24)) for i in images])
    ours = checking.ours(model)
    mine = ours(samples.to_pixels(model.description, images))["probs"]
    difference = np.abs(mine - ours(theirs.astype(np.float32))["probs"]).mean()
    assert told[1] == f"{difference:.2g}"
    assert difference > 1e-4


@pytest.mark.parametrize("mode", ["exact", "uint8"])
def test_resizing_is_measured_against_the_models_own_pixels(mode):
    description = described.model(num_layers=1, pixel_mode=mode).description
    image = np.random.default_rng(0).integers(0, 256, (33, 50, 3), np.uint8)
    seen = {}

    def run(name):
        def probs(batch):
            seen[name] = batch
            return {"probs": np.full((len(batch), 3), 1 / 3)}

        return probs

    huggingface.resizing_effect(description, run("ours"), run("theirs"), [image])
    np.testing.assert_array_equal(seen["ours"][0], pixels.RESIZE[mode](image, (16, 24)))
    np.testing.assert_array_equal(seen["theirs"][0], huggingface.processor_pixels(image, (16, 24)))


def test_the_card_tells_how_to_calibrate(exported):
    card = (exported[1] / huggingface.CARD_FILE).read_text()
    assert "is not calibrated" in " ".join(card.split())
    assert "print((model(**inputs).logits / 2.0).softmax(-1))" in card
    assert "`(logits / 2.0).softmax(-1)`" in card


def test_transformers_reads_the_rest_as_before(exported):
    config = json.loads((exported[1] / "config.json").read_text())
    assert config["architectures"] == ["ViTForImageClassification"]
    assert "calibration" not in config
    assert config["vit_sentiment"]["model_id"] == load(exported[1]).model_id


def test_bfloat16_comes_back_and_its_card_says_that_transformers_is_in_float32(
    export, write, tmp_path
):
    out = tmp_path / "folder"
    source = write(dtype="bfloat16")
    assert export(f"--model={source}", "--format=huggingface", f"--out={out}") == 0
    assert load(out).description == load(source).description
    card = (out / huggingface.CARD_FILE).read_text()
    assert "its resizing and float32 change probabilities by" in card
    assert "so transformers computes in float32" in card


def test_the_processors_resizing_averages_where_it_shrinks():
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2] = 200
    found = huggingface.processor_pixels(image, (2, 4))
    assert found.shape == (2, 4, 3)
    assert np.abs(found.astype(int) - 100).max() < 15  # Without averaging: all 0 or 200, or 100.
    grown = huggingface.processor_pixels(np.array([[[0] * 3, [200] * 3]], np.uint8), (1, 4))
    assert grown[0, :, 0].tolist() == [0, 50, 150, 200]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"head_hidden": 5}, "`head.safetensors`"),
        ({"num_classes": 0, "classes": ()}, "changes features by"),
    ],
)
def test_a_two_layer_head_and_none(export, write, tmp_path, changes, part):
    out = tmp_path / "folder"
    source = write(**changes)
    assert export(f"--model={source}", "--format=huggingface", f"--out={out}") == 0
    assert part in (out / huggingface.CARD_FILE).read_text()
    assert load(out).model_id == load(source).model_id


def test_what_transformers_cannot_compute_is_told(export, write, tmp_path, capsys):
    source = write(pooling="map")
    assert export(f"--model={source}", "--format=huggingface", f"--out={tmp_path / 'a'}") == 1
    error = capsys.readouterr().err
    assert "cannot compute this model: pooling map, where it has cls" in error
    assert len(error.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"source"}
