"""Ways to compute a model: alike in what they give, different in what they keep and compile."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from written_out import TINY, random_params

from vit_sentiment.models import classifier
from vit_sentiment.models.classifier import abstract_params
from vit_sentiment.models.execution import REMATS, Execution, attend
from vit_sentiment.models.vit import stack_blocks
from vit_sentiment.runtime.errors import UserError

MODEL = TINY.replace(image_size=(32, 32))
WAYS = list(itertools.product((False, True), REMATS))
PLAIN = (False, "none")


def loss(params, images, execution, model=MODEL):
    """A number that depends on all outputs, and the outputs."""
    features, logits = classifier.apply(model, params, images, execution=execution)
    return (features**2).sum() + (logits**3).sum(), (features, logits)


def execution(way):
    return Execution(attention="xla", scan=way[0], remat=way[1])


def values(model):
    return jax.tree.map(jnp.float32, random_params(model, scale=0.3))


@pytest.fixture(scope="module")
def params():
    return values(MODEL)


@pytest.fixture(scope="module")
def images():
    return jnp.float32(np.random.default_rng(1).uniform(-1, 1, (8, 32, 32, 3)))


@pytest.fixture(scope="module")
def programs(params, images):
    """Way to its compiled gradient."""

    def compiled(way):
        gradient = jax.grad(lambda p, x: loss(p, x, execution(way)), has_aux=True)
        # What LLVM would make faster takes most of the time here.
        quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
        return jax.jit(gradient).lower(params, images).compile(compiler_options=quick)

    return {way: compiled(way) for way in WAYS}


def matrix_products(jaxpr):
    """How many are written in a program and in those within it; a loop's body counts once."""
    count = 0
    for equation in jaxpr.eqns:
        count += equation.primitive.name == "dot_general"
        count += sum(map(matrix_products, jaxprs_in_params(equation.params)))
    return count


def products_of_gradient(way, layers):
    model = MODEL.replace(num_layers=layers)
    images = jax.ShapeDtypeStruct((8, 32, 32, 3), jnp.float32)
    gradient = jax.grad(lambda p, x: loss(p, x, execution(way), model), has_aux=True)
    return matrix_products(jax.make_jaxpr(gradient)(abstract_params(model), images).jaxpr)


@pytest.mark.parametrize("way", WAYS[1:])
def test_outputs_and_gradients_are_the_same(programs, params, images, way):
    gradient, outputs = programs[way](params, images)
    expected, expected_outputs = programs[PLAIN](params, images)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    for found, value in zip(outputs, expected_outputs, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-5)
    for found, value in zip(*map(jax.tree.leaves, (gradient, expected)), strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-4 * np.abs(value).max())


# A block has four projections of the attention, its scores and its mixture, and two of the MLP;
# the backward pass has two products for each. One more triple is the head's.
BLOCK, HEAD = 3 * 8, 3
# All but the last one of a block are needed again; scores and mixture alone have batch axes.
AGAIN = {"none": 0, "dots": 2, "blocks": 7}


@pytest.mark.parametrize("remat", REMATS)
@pytest.mark.parametrize("layers", [2, 5])
def test_remat_computes_again_what_it_says(remat, layers):
    assert products_of_gradient((False, remat), layers) == HEAD + layers * (BLOCK + AGAIN[remat])


@pytest.mark.parametrize("remat", REMATS)
def test_the_program_of_a_scan_does_not_grow_with_the_layers(remat):
    for layers in (2, 5):
        assert products_of_gradient((True, remat), layers) == HEAD + BLOCK + AGAIN[remat]


def test_the_compiler_does_not_undo_it(programs):
    """It computes more where blocks are copies, and holds less where they are a loop."""
    flops = [programs[False, remat].cost_analysis()["flops"] for remat in REMATS]
    assert flops[0] < flops[1] < flops[2]
    held = [programs[True, remat].memory_analysis().temp_size_in_bytes for remat in REMATS]
    assert held[0] > held[1] > held[2]


def test_blocks_are_stacked_in_the_order_of_their_numbers():
    tree = {f"encoderblock_{i}": {"MlpBlock_0": {"bias": np.full(3, i)}} for i in range(11)}
    tree = dict(sorted(tree.items()))  # 0, 1, 10, 2: the order of their names.
    found = stack_blocks({"posembed_input": {"pos_embedding": np.ones(2)}, **tree})
    assert set(found) == {"posembed_input", "encoderblock"}
    np.testing.assert_array_equal(found["posembed_input"]["pos_embedding"], [1, 1])
    bias = found["encoderblock"]["MlpBlock_0"]["bias"]
    np.testing.assert_array_equal(bias, np.repeat(np.arange(11)[:, None], 3, 1))


def test_attention_is_softmax_of_scaled_products():
    rng = np.random.default_rng(0)
    query, key, value = (np.float32(rng.normal(size=(2, t, 3, 4))) for t in (5, 7, 7))
    scores = np.einsum("bthe,bshe->bhts", query, key) / np.sqrt(4)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = np.einsum("bhts,bshe->bthe", weights, value)
    for implementation in ("xla", "auto"):
        found = attend(implementation, *map(jnp.asarray, (query, key, value)))
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="tells what a CPU does")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_auto_is_xla_on_a_cpu(params, images, dtype):
    model = MODEL.replace(dtype=dtype)
    programs = [
        str(jax.make_jaxpr(lambda p, x, how=how: loss(p, x, how, model))(params, images))
        for how in (Execution("auto"), Execution("xla"))
    ]
    assert programs[0] == programs[1]


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="tells what a CPU does")
@pytest.mark.parametrize("scan", [False, True])
def test_cudnn_on_a_cpu_is_an_error_of_one_line(params, images, scan):
    with pytest.raises(UserError) as error:
        jax.jit(lambda: loss(params, images, Execution("cudnn", scan=scan)))()
    assert str(error.value) == (
        "config.execution.attention: cudnn does not work here: it needs an NVIDIA GPU, this is cpu"
    )
