"""The verb `export` in this process, and what it gets: tiny models and photos."""

import functools

import described
import numpy as np
import polars as pl
import pytest
import verbs
from PIL import Image

from checkpoints import google_npz
from vit_sentiment.exporting import samples


@pytest.fixture
def small_pictures(monkeypatch):
    """Drawn pictures are small, since drawing is most of the time of a tiny model's export."""
    monkeypatch.setattr(samples, "SIZES", ((60, 80), (48, 40)))


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A weight file of a tiny model."""
    path = tmp_path_factory.mktemp("source") / "model.npz"
    model = described.model(num_layers=1)
    google_npz.write(path, model.params, model.description)
    return path


@pytest.fixture
def write(tmp_path):
    """A function that writes a weight file of a tiny model with other fields."""

    def write_model(**changes):
        path = tmp_path / "source" / "model.npz"
        model = described.model(num_layers=1, **changes)
        google_npz.write(path, model.params, model.description)
        return path

    return write_model


@pytest.fixture(scope="session")
def export():
    """Runs the verb in this process; its exit code."""
    return functools.partial(verbs.run, "vit_sentiment.export")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A table of labelled photos, one in a folder each."""
    folder = tmp_path_factory.mktemp("photos")
    labels = [("negative", "neutral", "positive")[number % 3] for number in range(7)]
    rng = np.random.default_rng(0)
    for number in range(7):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 15, 3), np.uint8))
        coarse.resize((60, 48), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    table = folder / "photos.csv"
    pl.DataFrame({"path": [f"{n}.png" for n in range(7)], "label": labels}).write_csv(table)
    return table
