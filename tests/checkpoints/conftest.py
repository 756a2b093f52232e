"""The golden checkpoints and what was computed from them; what downloads need."""

import io

import numpy as np
import pytest

from checkpoints import transfer


@pytest.fixture(scope="session", params=["google_original", "google_augreg"])
def google(request, golden):
    """(path of a checkpoint of Google's code, its expected.npz) for both of them."""
    folder = golden / request.param
    with np.load(folder / "expected.npz") as file:
        return folder / "checkpoint.npz", dict(file)


@pytest.fixture
def server(server, monkeypatch):
    """The same, without pauses between attempts."""
    monkeypatch.setattr(transfer, "BACK_OFF_SECONDS", 0)
    return server


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache folder, new and empty; no mirror."""
    monkeypatch.setenv("VIT_SENTIMENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VIT_SENTIMENT_BASE_URL", raising=False)
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def npz():
    """Bytes of an .npz file of 1.2 MB."""
    file = io.BytesIO()
    np.savez(file, kernel=np.random.default_rng(0).normal(size=(3, 50_000)))
    return file.getvalue()
