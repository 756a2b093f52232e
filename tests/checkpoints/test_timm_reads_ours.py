"""timm, which reads Google's .npz files, computes from ours what we compute.

`golden/timm` holds what timm gave; the files it read are made anew here by the same writer.
"""

import json

import jax
import numpy as np
import pytest
from golden.timm import weights
from npz_files import arrays, restore

from checkpoints import trees
from vit_sentiment.inference.forward import outputs


@pytest.fixture(scope="module", params=["tanh", "exact"])
def ours(request, golden, tmp_path_factory):
    """GELU, the weight file made anew, and of it what timm reported and computed."""
    gelu = request.param
    path = weights.write(gelu, tmp_path_factory.mktemp("timm"))
    facts = json.loads((golden / "timm/expected.json").read_text())["weights"][gelu]
    expected = arrays(golden / "timm/expected.npz")
    computed = {name: expected[f"{gelu}/{name}"] for name in ("features", "logits")}
    return path, facts, expected["images"], computed


def test_timm_read_every_array_of_the_file(ours):
    path, facts, _, _ = ours
    _, params = restore(path)
    assert trees.model_id(params) == facts["model_id"]
    assert sorted(arrays(path)) == facts["read"]
    assert facts["left"] == []


def test_timm_computes_what_we_compute(ours):
    path, _, images, expected = ours
    described, params = restore(path)
    found = jax.jit(lambda params, images: outputs(described.description, params, images))(
        params, images
    )
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, rtol=0, err_msg=name)
