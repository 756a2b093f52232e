"""Features of frozen models and their cache."""

import dataclasses
import shutil

import jax
import numpy as np
import polars as pl
import pytest

from checkpoints import trees
from input_pipeline import pixels
from input_pipeline.sources import open_source
from vit_sentiment.inference import features
from vit_sentiment.inference.features import cache_file, cached_features
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import init_params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime.errors import UserError

DESCRIPTION = ModelDescription(
    image_size=(16, 16), patch_size=8, hidden_size=12, num_layers=1, num_heads=2, mlp_size=16,
    num_classes=0, classes=(), pixel_mode="uint8",
)  # fmt: skip


def make_model(seed=0, **changes):
    description = DESCRIPTION.replace(**changes)
    return Model(description, init_params(description, jax.random.key(seed)), "model.npz")


@pytest.fixture(scope="module")
def model():
    """A backbone without a head."""
    return make_model()


@pytest.fixture(scope="module")
def some(tweets):
    """35 drawn tweets."""
    return open_source(str(tweets), "tweets[:35]")


@pytest.fixture(scope="module")
def cache(model, some, tmp_path_factory):
    """A cache that holds the features of `some`; not to be written."""
    folder = tmp_path_factory.mktemp("cache")
    cached_features(model, some, folder, batch_size=16)
    return folder


@pytest.fixture
def table(golden, tmp_path):
    """A table of three photos, the second of which is no photo."""
    for name, source in (("a.jpg", "rgb_444.jpg"), ("c.jpg", "gray.jpg")):
        shutil.copy(golden / "decode" / source, tmp_path / name)
    (tmp_path / "b.jpg").write_text("not a photo")
    path = tmp_path / "photos.csv"
    path.write_text("path,label\na.jpg,negative\nb.jpg,neutral\nc.jpg,positive\n")
    return path


def never(*_):
    raise AssertionError("computed although it is in the cache")


def direct(model, source):
    """The oracle: one batch, no loader."""
    size, mode = model.description.image_size, model.description.pixel_mode
    images = [pixels.load(record.image, size, mode) for record in source.records()]
    return model.forward(len(images))(np.stack(images))["features"]


@pytest.mark.parametrize("batch_size", [16, 64])
def test_features_are_those_of_the_forward_path_in_order(model, some, tmp_path, batch_size):
    found = cached_features(model, some, tmp_path, batch_size=batch_size)
    assert found.values.dtype == np.float32
    assert found.readable.all()
    np.testing.assert_allclose(found.values, direct(model, some), atol=1e-5, rtol=0)


def test_what_is_in_the_cache_is_not_computed(model, some, cache, monkeypatch, capsys):
    first = cached_features(model, some, cache, batch_size=16)
    monkeypatch.setattr(features, "batch_outputs", never)
    second = cached_features(model, some, cache, batch_size=8)
    np.testing.assert_array_equal(first.values, second.values)
    assert f"35 photos from {cache_file(model, some, cache)}" in capsys.readouterr().err


def test_all_that_features_depend_on_tells_files_apart(tweets, model, some):
    other = open_source(str(tweets), "tweets[35:70]")
    files = [
        cache_file(model, some, "cache"),
        cache_file(model, other, "cache"),
        cache_file(model, dataclasses.replace(some, index=some.index.reverse()), "cache"),
        cache_file(make_model(seed=1), some, "cache"),
        # The same weights, used in another way.
        *(
            cache_file(Model(DESCRIPTION.replace(**change), model.params, ""), some, "cache")
            for change in ({"pixel_mode": "exact"}, {"gelu": "exact"}, {"num_heads": 3})
        ),
    ]
    assert len(set(files)) == len(files)


def test_labels_and_names_do_not_matter(model, some):
    index = some.index.with_columns(teacher_label=pl.lit(2, pl.Int32))
    relabelled = dataclasses.replace(some, name="copy", split="other", index=index)
    assert relabelled.fingerprint != some.fingerprint
    assert cache_file(model, relabelled, "cache") == cache_file(model, some, "cache")


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [flip, lambda data: data[:-30], lambda data: b"", lambda data: b"\0" * len(data)],
    ids=["a flipped bit", "cut off", "empty", "zeros"],
)
def test_a_damaged_file_is_computed_again(model, some, cache, tmp_path, capsys, damage):
    path = cache_file(model, some, tmp_path)
    path.parent.mkdir()
    whole = cache_file(model, some, cache).read_bytes()
    path.write_bytes(damage(whole))
    found = cached_features(model, some, tmp_path, batch_size=16)
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "damaged" in text]
    assert line.startswith(f"{path}: damaged (")
    np.testing.assert_array_equal(
        found.values, cached_features(model, some, cache, batch_size=16).values
    )
    with np.load(path) as file:
        np.testing.assert_array_equal(file["features"], found.values)
    assert list(path.parent.iterdir()) == [path]


def test_features_of_another_shape_are_damage(model, some, cache, tmp_path, capsys):
    path = cache_file(model, some, tmp_path)
    path.parent.mkdir()
    np.savez(path, features=np.zeros((34, 12), np.float32), readable=np.ones(34, bool))
    found = cached_features(model, some, tmp_path, batch_size=16)
    assert found.values.shape == (35, 12)
    assert "damaged (expected (35, 12) features, found (34, 12))" in capsys.readouterr().err


def test_unreadable_photos_are_told_and_their_features_are_zero(model, table, tmp_path):
    source = open_source(str(table))
    found = cached_features(model, source, tmp_path / "cache", batch_size=2, on_error="skip")
    assert found.readable.tolist() == [True, False, True]
    assert not found.values[1].any()
    assert found.values[[0, 2]].any(axis=1).all()


def test_what_was_skipped_is_an_error_where_it_must_be(model, table, tmp_path):
    source = open_source(str(table))
    with pytest.raises(UserError, match=r"record 'b\.jpg'"):
        cached_features(model, source, tmp_path / "cache", batch_size=2)
    assert not list((tmp_path / "cache").rglob("*.npz"))
    cached_features(model, source, tmp_path / "cache", batch_size=2, on_error="skip")
    with pytest.raises(UserError, match=r"record 'b\.jpg'"):
        cached_features(model, source, tmp_path / "cache", batch_size=2)


def test_photo_files_are_told_by_their_bytes(model, table):
    source = open_source(str(table))
    before = cache_file(model, source, "cache")
    assert cache_file(model, open_source(str(table)), "cache") == before
    shutil.copy(table.parent / "a.jpg", table.parent / "c.jpg")
    assert open_source(str(table)).fingerprint == source.fingerprint
    assert cache_file(model, source, "cache") != before


def test_damaged_weights_leave_nothing_behind(model, some, tmp_path):
    flat = trees.flatten(jax.tree.map(np.array, model.params))
    flat["cls"][...] = np.nan
    damaged = Model(DESCRIPTION, trees.unflatten(flat), "bad.npz")
    with pytest.raises(UserError, match=r"bad\.npz: gives NaN for 16 photos"):
        cached_features(damaged, some, tmp_path, batch_size=16)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_head_does_not_matter_to_the_features(model, some, cache, tmp_path):
    with_head = make_model(num_classes=21)
    params = {**with_head.params, **model.params}
    found = cached_features(Model(with_head.description, params, ""), some, tmp_path, batch_size=16)
    expected = cached_features(model, some, cache, batch_size=16)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-6, rtol=0)


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert features.default_cache() == tmp_path / "vit_sentiment" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert features.default_cache() == tmp_path / ".cache" / "vit_sentiment" / "features"
