"""Photos of any kind through a model: order, errors, batches, memory and decisions."""

import doctest
import io
import itertools
import threading
import time

import numpy as np
import pytest
from PIL import Image

import vit_sentiment
from checkpoints import google_npz
from input_pipeline import pixels
from input_pipeline.records import CLASSES
from vit_sentiment.inference import decision, forward, photos
from vit_sentiment.inference import model as model_module
from vit_sentiment.inference.decision import ABSTAINED, Rule, decide
from vit_sentiment.inference.model import Model, Prediction
from vit_sentiment.models.classifier import init_params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime import compilations
from vit_sentiment.runtime.errors import UserError

DESCRIPTION = ModelDescription(
    image_size=(16, 16), patch_size=8, hidden_size=12, num_layers=1, num_heads=2, mlp_size=16
)


def photo(seed, size=(40, 30)):
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def model():
    import jax

    params = jax.tree.map(np.array, init_params(DESCRIPTION, jax.random.key(0)))
    rng = np.random.default_rng(0)
    params["head"]["kernel"] = rng.normal(0, 1, params["head"]["kernel"].shape).astype(np.float32)
    return Model(DESCRIPTION, params, "drawn")


def expected_probs(model, arrays):
    images = np.stack([pixels.resize_exact(array, (16, 16)) for array in arrays])
    return model.forward(len(images))(images)["probs"]


def test_every_kind_of_photo_gives_the_same(model, tmp_path):
    array = photo(1)
    path = tmp_path / "photo.png"
    path.write_bytes(png(array))
    kinds = [path, str(path), png(array), Image.fromarray(array), array]
    alone = [model.predict(kind) for kind in kinds]
    assert all(type(found) is Prediction for found in alone)
    assert [found.path for found in alone] == [str(path), str(path), None, None, None]
    assert {tuple(found.probs.items()) for found in alone} == {tuple(alone[0].probs.items())}
    np.testing.assert_allclose(
        list(alone[0].probs.values()), expected_probs(model, [array])[0], atol=1e-6
    )
    assert alone[0].label == max(alone[0].probs, key=alone[0].probs.get)
    assert alone[0].confidence == pytest.approx(max(alone[0].probs.values()), abs=1e-6)
    together = model.predict(kinds)
    assert [found.label for found in together] == [alone[0].label] * 5
    for found in together:
        assert found.probs == pytest.approx(alone[0].probs, abs=1e-6)


def test_an_array_of_photos_is_many(model):
    arrays = np.stack([photo(seed) for seed in range(3)])
    found = model.predict(arrays)
    values = [list(prediction.probs.values()) for prediction in found]
    np.testing.assert_allclose(values, expected_probs(model, arrays), atol=1e-6)
    assert model.predict([]) == []


def test_photos_that_cannot_be_read_have_an_error_among_many_and_raise_alone(model, tmp_path):
    missing, text = tmp_path / "missing.jpg", tmp_path / "text.jpg"
    text.write_text("no photo")
    given = [missing, photo(1), text, b"", np.zeros((4, 4), np.uint8), photo(2)]
    found = model.predict(given)
    assert [prediction.error for prediction in found] == [
        "no such file",
        None,
        "not an image in a known format",
        "empty file",
        "expected RGB pixels uint8 [h, w, 3], found uint8 [4, 4]",
        None,
    ]
    assert [prediction.label is None for prediction in found] == [
        True,
        False,
        True,
        True,
        True,
        False,
    ]
    assert found[0] == Prediction(None, None, {}, str(missing), "no such file")
    np.testing.assert_allclose(
        [list(found[number].probs.values()) for number in (1, 5)],
        expected_probs(model, [photo(1), photo(2)]),
        atol=1e-6,
    )
    with pytest.raises(UserError, match=r"missing\.jpg: no such file$"):
        model.predict(missing)
    with pytest.raises(UserError, match=r"^empty file$"):
        model.predict(b"")


def test_images_of_pillow_are_read_as_their_files_are(model, tmp_path):
    path = tmp_path / "grey16.png"
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100).save(path)
    assert model.predict(Image.open(path)).probs == model.predict(path).probs
    cut = Image.open(io.BytesIO(png(photo(1))[:-600]))
    none = Image.new("RGB", (0, 5))
    found = model.predict([cut, none, Image.fromarray(photo(2))])
    assert found[0].error.startswith("damaged image: ")
    assert found[1].error == "an image of 0x5 pixels"
    assert found[2].error is None
    with pytest.raises(UserError, match="0x5 pixels"):
        model.predict(none)


def test_an_image_may_be_in_a_batch_many_times(model, tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo(1, (900, 700))).save(path, progressive=True)
    for _ in range(3):
        found = model.predict([Image.open(path)] * 32)
        assert {(prediction.error, prediction.label) for prediction in found} == {
            (None, found[0].label)
        }


def test_one_photo_of_a_wrong_type_is_not_taken_for_many(model):
    with pytest.raises(UserError, match=r"found uint8 \[40, 30\]"):
        model.predict(np.zeros((40, 30), np.uint8))
    for given in (bytearray(b"photo"), memoryview(b"photo"), io.BytesIO(b"photo")):
        with pytest.raises(TypeError, match=f"expected bytes, found {type(given).__name__}"):
            model.predict(given)
    with pytest.raises(TypeError, match=r"expected a path, bytes, .* found NoneType"):
        model.predict([photo(1), None])


def test_more_photos_than_a_batch_stay_in_order(model):
    outcomes = list(photos.run(model.forward(4), map(photo, range(11)), load, 4))
    assert [len(outcome.photos) for outcome in outcomes] == [4, 4, 3]
    found = np.concatenate([outcome.outputs["probs"] for outcome in outcomes])
    np.testing.assert_allclose(found, expected_probs(model, map(photo, range(11))), atol=1e-6)


def test_a_batch_of_unreadable_photos_has_no_outputs(model):
    outcomes = list(photos.run(model.forward(2), [b"", b"", photo(0)], load, 2))
    assert [len(outcome.readable) for outcome in outcomes] == [0, 1]
    assert outcomes[0].outputs == {}


def load(given):
    return photos.load(given, DESCRIPTION)


def test_photos_are_taken_as_they_are_needed(model):
    """However many there are, only a few batches of them are in memory."""
    taken = itertools.count()
    most = 0
    given = (next(taken) for _ in range(10_000))
    blank = np.zeros((16, 16, 3), np.float32)
    for done, _ in enumerate(photos.run(model.forward(4), given, lambda number: blank, 4)):
        most = max(most, next(taken) - done * 4 - done)
        if done == 100:
            break
    assert most <= 6 * 4


def test_decoding_stops_when_the_caller_does(model):
    threads = threading.active_count()
    running = photos.run(model.forward(2), itertools.repeat(photo(0)), load, 2)
    next(running)
    running.close()
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        time.sleep(0.05)
    assert threading.active_count() <= threads


def test_nothing_is_compiled_after_the_first_batches(model):
    sizes = (1, 4)
    run = forward.compile(DESCRIPTION, model.params, sizes)
    assert run.sizes == sizes
    blank = np.zeros((4, 16, 16, 3), np.float32)
    with compilations.counted() as count:
        for rows in (1, 2, 3, 4):
            assert len(run(blank[:rows])["probs"]) == rows
        assert count() == 0
        forward.compile(DESCRIPTION, model.params, (3,))
        assert count() == 1


def test_threads_share_what_is_compiled(model):
    fresh = Model(DESCRIPTION, model.params, "drawn")
    found = []
    with compilations.counted() as count:
        threads = [
            threading.Thread(target=lambda: found.append(fresh.predict(photo(3)))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert count() == 1
    assert len(set(map(str, found))) == 1


def test_padding_changes_nothing(model):
    arrays = [photo(seed) for seed in range(3)]
    images = np.stack([load(array) for array in arrays])
    np.testing.assert_allclose(
        model.forward(8)(images)["probs"], model.forward(3)(images)["probs"], atol=1e-6
    )


def test_decisions():
    probs = np.float32([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]])
    plain = decide(probs, DESCRIPTION, Rule())
    assert plain.label.tolist() == [0, 1, 2]
    strict = decide(probs, DESCRIPTION, Rule(threshold=0.6))
    assert strict.label.tolist() == [ABSTAINED, 1, 2]
    both = decide(probs, DESCRIPTION, Rule(binary=True))
    assert both.label.tolist() == [0, 0, 1]  # A tie is negative.
    np.testing.assert_allclose(both.probs, [[5 / 7, 2 / 7], [0.5, 0.5], [1 / 9, 8 / 9]], rtol=1e-6)
    np.testing.assert_allclose(both.confidence, [5 / 7, 0.5, 8 / 9], rtol=1e-6)
    masked = decide(np.float32([[0.2, 0, 0.2], [0, 0, 0]]), DESCRIPTION, Rule(threshold=0.5))
    assert masked.confidence.tolist() == [0.5, 0]
    assert masked.label.tolist() == [0, ABSTAINED]
    assert decision.classes(DESCRIPTION, Rule(binary=True)) == ("negative", "positive")
    assert decision.classes(DESCRIPTION, Rule()) == CLASSES


def test_rules_and_models_that_do_not_go_together():
    with pytest.raises(UserError, match="threshold: expected a confidence of 0 to 1, found 2"):
        Rule(threshold=2)
    two = DESCRIPTION.replace(num_classes=2, classes=("cat", "dog"))
    with pytest.raises(UserError, match="binary: expected classes negative and positive, found"):
        decision.classes(two, Rule(binary=True))
    headless = DESCRIPTION.replace(num_classes=0, classes=())
    with pytest.raises(UserError, match="the model has no head"):
        decision.classes(headless, Rule())


def test_rules_in_predictions(model):
    assert model.predict(photo(1), threshold=1.0).label is None
    assert set(model.predict(photo(1), binary=True).probs) == {"negative", "positive"}


def test_damaged_weights_are_told(model):
    import jax

    broken = Model(DESCRIPTION, jax.tree.map(lambda leaf: leaf * np.nan, model.params), "drawn")
    with pytest.raises(UserError, match="gives NaN for 1 of 1 photos"):
        broken.predict(photo(1))


def test_the_examples_of_the_documentation_run(tmp_path, monkeypatch):
    """On a model that knows red from blue."""
    monkeypatch.chdir(tmp_path)
    red_is_positive(tmp_path / "model.npz")
    for name, colour in (("photo.jpg", (255, 0, 0)), ("other.jpg", (0, 0, 255))):
        Image.new("RGB", (50, 40), colour).save(name, quality=100, subsampling=0)
    found = doctest.testmod(model_module, extraglobs={"vit_sentiment": vit_sentiment})
    assert found.attempted >= 5
    assert found.failed == 0


def red_is_positive(path):
    import jax

    params = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, np.float32), init_params(DESCRIPTION, jax.random.key(0))
    )
    # The first feature is red minus blue, the second its opposite; LayerNorm makes that +-sqrt(6).
    params["embedding"]["kernel"][:, :, 0, 0] = params["embedding"]["kernel"][:, :, 2, 1] = 1 / 64
    params["Transformer"]["encoder_norm"]["scale"][:] = 1
    params["head"]["kernel"][0] = [-1.2, 0, 1.2]
    description = DESCRIPTION.replace(pooling="mean")
    google_npz.write(path, params, description)
