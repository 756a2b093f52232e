"""The golden checkpoints and what was computed from them."""

import numpy as np
import pytest


@pytest.fixture(scope="session", params=["google_original", "google_augreg"])
def google(request, golden):
    """(path of a checkpoint of Google's code, its expected.npz) for both of them."""
    folder = golden / request.param
    with np.load(folder / "expected.npz") as file:
        return folder / "checkpoint.npz", dict(file)
