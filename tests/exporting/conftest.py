"""The verb `export` in this process, and what it gets: tiny models and photos."""

import described
import numpy as np
import polars as pl
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from checkpoints import google_npz
from vit_sentiment import export as verb
from vit_sentiment.exporting import samples
from vit_sentiment.runtime import startup

# Flags are the process's. Those that only this verb requires must not fail the tests of others.
REQUIRED = {flag: flag.validators for flag in (flags.FLAGS[n] for n in ("model", "format", "out"))}
for _flag in REQUIRED:
    _flag.validators = []


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
    """Runs the verb in this process, since each start of jax takes seconds; its exit code."""

    def start(*args):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["vit_sentiment/export.py", *map(str, args)])
            for flag, validators in REQUIRED.items():
                patch.setattr(flag, "validators", validators)
            with flagsaver.flagsaver(), pytest.raises(SystemExit) as exit_:
                startup.run(verb.main, verb.__doc__)
        return exit_.value.code

    return start


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
