"""Explanations against the model written out in NumPy, and on models whose reasons are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.written_out import TINY, numpy_vit, random_params

from vit_sentiment.inference.explanation import METHODS, PREDICTED, explain, record, unperturbed
from vit_sentiment.inference.model import Model, forward
from vit_sentiment.models.calibration import Calibration
from vit_sentiment.models.classifier import Classifier, abstract_params, normalise
from vit_sentiment.models.execution import Execution
from vit_sentiment.runtime.errors import UserError

POOLINGS = [("cls", True), ("mean", True), ("mean", False), ("map", False)]
SHALLOW = TINY.replace(num_layers=1)  # Compiles faster.


def pixels(count, seed=0, model=TINY):
    """Noise in a colour of its own for each photo, so that photos differ."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 176, (count, 1, 1, 3))
    return (colours + rng.integers(0, 80, (count, *model.image_size, 3))).astype(np.uint8)


def make(model):
    return Model(model, jax.tree.map(np.float32, random_params(model)), "random")


@pytest.fixture(params=POOLINGS, ids=lambda pooling: f"{pooling[0]}-{pooling[1]}", scope="module")
def model(request):
    pooling, class_token = request.param
    return make(TINY.replace(pooling=pooling, class_token=class_token))


@pytest.fixture(scope="module")
def run(model):
    return explain(model)


@pytest.fixture(scope="module")
def found(run):
    """The explanation of 4 photos and the predicted classes."""
    return run(pixels(4))


def touched(model, image):
    """What `numpy_vit` shows of one image, each without its batch axis."""
    seen = []
    numpy_vit(model.params, image, model.description, touch=lambda x: seen.append(x[0]) or x)
    return seen


def slopes(model, image, number, chosen):
    """Central differences of a logit by every entry of the touched value of that number."""
    shape = touched(model, image)[number].shape
    size = int(np.prod(shape))
    steps = np.eye(size).reshape(size, *shape) * 1e-5

    def logits(sign):
        count = iter(range(99))
        moved = np.repeat(image, size, 0)
        touch = lambda x: x + sign * steps if next(count) == number else x  # noqa: E731
        return numpy_vit(model.params, moved, model.description, touch=touch)[1][:, chosen]

    return ((logits(1) - logits(-1)) / 2e-5).reshape(shape)


def expected_maps(model, image, chosen):
    """Both maps by the papers' equations, in float64 from weights and slopes written out."""
    d = model.description
    seen = touched(model, image)
    grads = [slopes(model, image, number, chosen) for number in range(len(seen))]
    tokens = d.num_positions
    mixed, relevance = np.eye(tokens), np.eye(tokens)
    for a, g in zip(seen[: d.num_layers], grads, strict=False):
        mixed = (0.5 * a.mean(0) + 0.5 * np.eye(tokens)) @ mixed
        np.testing.assert_allclose(mixed.sum(1), 1, atol=1e-12)
        relevance = relevance + np.maximum(a * g, 0).mean(0) @ relevance
    bar = relevance - np.eye(tokens)
    bar = np.array([row / row.sum() if row.any() else row for row in bar]) + np.eye(tokens)
    first = int(d.class_token)
    if d.pooling == "cls":
        rolled, weighted = mixed[0], relevance[0]
    elif d.pooling == "mean":
        rolled = mixed[first:].mean(0)
        speaking = [max(float(x @ g), 0) for x, g in zip(seen[-1], grads[-1], strict=True)]
        weighted = sum(s * row for s, row in zip(speaking, bar[first:], strict=True))
    else:
        rolled = seen[-1].mean(0)[0] @ mixed
        weighted = np.maximum(seen[-1] * grads[-1], 0).mean(0)[0] @ bar
    maps = {"rollout": rolled[first:], "gradient-weighted": weighted[first:]}
    return {name: (m / (m.sum() or 1)).reshape(d.grid) for name, m in maps.items()}


@pytest.mark.parametrize("pooling", ["mean", "map"])
def test_recorded_attention_and_its_gradients_are_those_of_the_model_written_out(pooling):
    d = TINY.replace(pooling=pooling)
    model = make(d)
    image = np.asarray(normalise(pixels(1), d), np.float64)

    def logit(perturbations):
        with jax.default_matmul_precision("highest"):
            logits, recorded = record(d, model.params, jnp.float32(image), perturbations)
        return logits[0, 1], recorded

    nothing = unperturbed(d, model.params, image)
    gradients, recorded = jax.jit(jax.grad(logit, has_aux=True))(nothing)
    seen = touched(model, image)
    found = [*recorded.blocks, *([] if recorded.pooling is None else [recorded.pooling])]
    for ours, theirs in zip(found, seen, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    for weights in seen[: d.num_layers]:
        assert weights.shape == (3, d.num_positions, d.num_positions)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-12)
    blocks = gradients["Transformer"]
    attention = "MultiHeadDotProductAttention_0"
    ours = [blocks[f"encoderblock_{n}"][attention]["attention_weights"][0] for n in range(2)]
    if d.pooling == "map":
        ours.append(gradients["MAPHead_0"][attention]["attention_weights"][0])
    elif d.pooling == "mean":
        ours.append(gradients["pooled"][0])
    for number, gradient in enumerate(ours):
        theirs = slopes(model, image, number, chosen=1)
        np.testing.assert_allclose(gradient, theirs, atol=1e-4 * np.abs(theirs).max())


def test_maps_are_those_of_the_papers_written_out(model, run):
    photos, classes = pixels(4), np.array([0, 2, 1, 1])
    found = run(photos, classes)
    assert tuple(found.maps) == METHODS
    images = np.asarray(normalise(photos, model.description), np.float64)
    for number, chosen in enumerate(classes):
        for name, expected in expected_maps(model, images[number : number + 1], chosen).items():
            np.testing.assert_allclose(found.maps[name][number], expected, atol=1e-4)
    np.testing.assert_array_equal(found.classes, classes)


def decisive(pooling, class_token):
    """A model that sees nothing but how red, green or blue each patch is; its classes.

    Tokens carry a constant beside the colours, since LayerNorm takes away what is everywhere.
    Attention is equal over all tokens and hands on what they hold.
    """
    d = TINY.replace(
        image_size=(24, 32), hidden_size=6, num_layers=2, num_heads=2,
        pooling=pooling, class_token=class_token, input_range=(0.0, 1.0),
    )  # fmt: skip
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), abstract_params(d))
    colours = np.eye(3, 6, dtype=np.float32)
    params["embedding"]["kernel"][:] = colours / 64
    params["Transformer"]["posembed_input"]["pos_embedding"][:] = [0, 0, 0, 1, 1, -2]
    params["Transformer"]["encoder_norm"]["scale"][:] = 1
    layers = [params["Transformer"][f"encoderblock_{n}"] for n in range(2)]
    for layer in layers:
        layer["LayerNorm_0"]["scale"][:] = 1
    for owner in [*layers, *([params["MAPHead_0"]] if pooling == "map" else [])]:
        attention = owner["MultiHeadDotProductAttention_0"]
        attention["value"]["kernel"][:] = np.eye(6).reshape(6, 2, 3)
        attention["out"]["kernel"][:] = np.eye(6).reshape(2, 3, 6)
    params["head"]["kernel"][:] = colours.T
    return Model(d, params, "decisive")


@pytest.mark.parametrize(
    ("pooling", "class_token"), [("cls", True), ("mean", False), ("map", True)]
)
def test_the_map_is_highest_where_the_class_is_decided(pooling, class_token):
    model = decisive(pooling, class_token)
    places = np.random.default_rng(0).permuted(np.tile(np.arange(12), (12, 1)), axis=1)[:, :3]
    places[:, 0] = np.arange(12)  # Every patch decides once.
    places = np.array([p for p in places if len(set(p)) == 3])
    photos = np.zeros((len(places), 24, 32, 3), np.uint8)
    for photo, patches in zip(photos, places, strict=True):
        for colour, patch in enumerate(patches):
            y, x = 8 * (patch // 4), 8 * (patch % 4)
            photo[y : y + 8, x : x + 8, colour] = 255
    assert len(places) > 6
    run = explain(model)
    for colour in range(3):
        found = run(photos, np.full(len(photos), colour))
        heat = found.maps["gradient-weighted"].reshape(len(photos), 12)
        np.testing.assert_array_equal(heat.argmax(1), places[:, colour])
        others = np.sort(heat, axis=1)[:, -2]
        assert (heat.max(1) > 1.5 * others).all()
        # Attention is equal everywhere, so rollout cannot tell.
        assert np.ptp(found.maps["rollout"]) < 1e-5


def test_a_photo_has_the_same_map_alone_and_in_a_batch():
    run, photos = explain(make(TINY)), pixels(4)
    found = run(photos)
    alone = [run(photos[n : n + 1]) for n in range(4)]
    for method in METHODS:
        single = np.concatenate([one.maps[method] for one in alone])
        np.testing.assert_array_equal(found.maps[method], single)
        assert np.ptp(single, axis=0).max() > 1e-3


def test_maps_are_shares_of_the_patches(found):
    for heat in found.maps.values():
        assert heat.dtype == np.float32
        assert heat.shape == (4, 2, 3)
        assert (heat >= 0).all()
        np.testing.assert_allclose(heat.sum((1, 2)), heat.any((1, 2)), atol=1e-6)
    assert found.maps["rollout"].any((1, 2)).all()
    assert found.maps["gradient-weighted"].any()


@pytest.mark.parametrize("head", [{"head_hidden": 5}, {"representation_size": 7}])
def test_probabilities_are_those_of_the_forward_path(head):
    calibration = Calibration(
        0.25, (0.2, 0.3, 0.5), 9, "tweets", "validation", "human_label", "0f", None, [(0, 1, 0.5)]
    )
    model = make(SHALLOW.replace(**head, calibration=calibration, output_mask=(1.0, 1e-7, 1.0)))
    photos = pixels(5)
    # Logits around 0, so that predictions differ.
    _, logits = numpy_vit(model.params, normalise(photos, SHALLOW), model.description)
    model.params["head_out" if "head_hidden" in head else "head"]["bias"][:] -= logits.mean(0)
    run = explain(model)
    found, expected = run(photos), forward(model)(photos)["probs"]
    np.testing.assert_allclose(found.probs, expected, rtol=1e-4, atol=1e-12)
    np.testing.assert_array_equal(found.classes, expected.argmax(1))
    assert len(set(found.classes)) > 1
    given = run(photos, np.where(np.arange(5) % 2, PREDICTED, found.classes))
    for method in METHODS:
        np.testing.assert_array_equal(given.maps[method], found.maps[method])


def test_float_pixels_and_other_dtypes_explain_the_same():
    model = make(SHALLOW)
    rounded = Model(SHALLOW.replace(dtype="bfloat16"), model.params, "")
    expected = explain(model)(pixels(2))
    found = explain(rounded)(pixels(2).astype(np.float32))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_backbone_has_rollout_alone():
    model = make(SHALLOW)
    rest = {name: value for name, value in model.params.items() if name != "head"}
    backbone = Model(SHALLOW.replace(num_classes=0, classes=()), rest, "")
    found = explain(backbone)(pixels(2))
    assert (list(found.maps), found.classes, found.probs) == (["rollout"], None, None)
    expected = explain(model)(pixels(2)).maps["rollout"]
    np.testing.assert_allclose(found.maps["rollout"], expected, atol=1e-6)
    with pytest.raises(UserError, match=r"^class to explain: found 0, the model has 0 classes$"):
        explain(backbone)(pixels(1), np.array([0]))


@pytest.mark.parametrize("unknown", [3, -2])
def test_an_unknown_class_is_refused(unknown):
    message = f"^class to explain: found {unknown}, the model has 3 classes$"
    with pytest.raises(UserError, match=message):
        explain(make(SHALLOW))(pixels(2), np.array([0, unknown]))


def test_where_nothing_speaks_for_a_class_its_map_is_zero():
    model = make(SHALLOW)
    model.params["head"]["kernel"][:] = 0  # As in a fresh model.
    found = explain(model)(pixels(2))
    assert not found.maps["gradient-weighted"].any()
    np.testing.assert_allclose(found.maps["rollout"].sum((1, 2)), 1, atol=1e-6)


def test_a_shape_is_compiled_once(caplog):
    run = explain(make(SHALLOW))
    with jax.log_compiles(), caplog.at_level("WARNING"):
        run(pixels(2))
        assert [m for m in caplog.messages if m.startswith("Finished XLA compilation of jit(run)")]
        caplog.clear()
        run(pixels(2, seed=1), np.array([2, PREDICTED]))
        assert not caplog.messages


@pytest.mark.parametrize("pooling", ["cls", "mean", "map"])
def test_nothing_is_recorded_unasked(pooling):
    model = make(SHALLOW.replace(pooling=pooling))

    def kept(execution):
        module = Classifier(model.description, execution)
        image = np.zeros((1, *TINY.image_size, 3), np.float32)
        names = ["intermediates", "perturbations"]
        return jax.eval_shape(
            lambda: module.apply({"params": model.params}, image, mutable=names)[1]
        )

    assert not kept(Execution())
    assert set(kept(Execution(record=True))) == {"intermediates", "perturbations"}
