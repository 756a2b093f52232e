"""Duplicates by embeddings, against NumPy."""

import jax
import numpy as np
import polars as pl
import pytest

from input_pipeline.sources import open_source
from vit_sentiment.distillation import duplicates, embeddings
from vit_sentiment.distillation.hashing import hash_photos
from vit_sentiment.distillation.tables import PhotoRecords
from vit_sentiment.inference.features import cached_features
from vit_sentiment.inference.model import Model
from vit_sentiment.models.classifier import init_params
from vit_sentiment.models.description import ModelDescription

DESCRIPTION = ModelDescription(
    image_size=(16, 16), patch_size=8, hidden_size=12, num_layers=1, num_heads=2, mlp_size=16,
    num_classes=0, classes=(), pixel_mode="uint8",
)  # fmt: skip


@pytest.fixture(scope="module")
def features():
    """Features of 400 photos, a quarter of them near to others, one unreadable."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 16)).astype(np.float32)
    values[300:] = values[rng.integers(0, 60, 100)] + rng.normal(size=(100, 16), scale=0.15)
    values[7] = 0
    return values


def cosines(features):
    values = features.astype(np.float64)
    with np.errstate(invalid="ignore"):
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return np.nan_to_num(unit @ unit.T, nan=-2)


@pytest.mark.parametrize("threshold", [0.5, 0.95, 0.99])
def test_pairs_are_all_with_at_least_the_cosine(features, threshold):
    found = set(zip(*(x.tolist() for x in embeddings.near_pairs(features, threshold)), strict=True))
    expected = set(zip(*np.nonzero(np.triu(cosines(features) >= threshold, 1)), strict=True))
    assert found == expected


def test_the_threshold_itself_is_near_enough():
    same = np.eye(3, dtype=np.float32)[[0, 1, 0]]
    first, second = embeddings.near_pairs(same, 1.0)
    assert (first.tolist(), second.tolist()) == ([0], [2])
    assert len(embeddings.near_pairs(np.zeros((2, 3), np.float32), 0.5)[0]) == 0


def test_an_inverted_file_finds_nearly_all(features, monkeypatch):
    expected = set(zip(*embeddings.near_pairs(features, 0.95), strict=True))
    monkeypatch.setattr(embeddings, "EXACT_UP_TO", 100)
    found = set(zip(*embeddings.near_pairs(features, 0.95), strict=True))
    assert found <= expected
    assert len(found) >= 0.95 * len(expected)


def original_written_out(features, neighbours, limit):
    """The original's loop: a photo in no group yet starts one; listed photos are removed."""
    rows = [i for i in range(len(features)) if features[i].any()]
    points = features[rows].astype(np.float64)
    squared = ((points[:, None] - points) ** 2).sum(axis=2)
    grouped, of = set(), {}
    for i in range(len(rows)):
        if i in grouped:
            continue
        nearest = np.argsort(squared[i], kind="stable")[:neighbours]
        distances = squared[i][nearest]
        scaled = distances / np.sqrt((distances**2).sum())
        group = nearest[scaled < limit].tolist()
        grouped.update(group)
        for other in group[1:]:
            of.setdefault(rows[other], rows[group[0]])
    return of


@pytest.mark.parametrize(("neighbours", "limit"), [(100, 0.15), (20, 0.15), (100, 0.05)])
def test_the_originals_rule(features, neighbours, limit):
    of, distance = embeddings.original_rule(features, neighbours=neighbours, limit=limit)
    found = {i: int(other) for i, other in enumerate(of) if other >= 0}
    assert found == original_written_out(features, neighbours, limit)
    assert 0 < len(found) < len(features)
    assert distance[list(found)].max() < limit


def looked_at(dataset):
    """A dataset's photos as the stage gets them: table and files."""
    source = open_source(str(dataset))
    rows = [(r.id, r.group, r.text, n) for n, r in enumerate(source.records())]
    table = pl.DataFrame(rows, schema=["id", "tweet", "text", "number"], orient="row")
    hashes = hash_photos((record.image for record in source.records()), len(source))
    columns = {"hash": hashes.values, "variance": hashes.variance, "digest": hashes.digests}
    return table.with_columns(**columns), PhotoRecords(source.data, np.arange(len(source)))


def test_features_of_photos_of_tweets(tweets, tmp_path):
    model = Model(DESCRIPTION, init_params(DESCRIPTION, jax.random.key(0)), "model.npz")
    table, files = looked_at(tweets)
    source = embeddings.source_of(table[[7, 3, 7]], files)
    dataset = open_source(str(tweets)).take(np.array([7, 3, 7]), "some")
    images = [example["image"] for example in source.data.__getitems__([2, 1])]
    assert images == [example["image"] for example in dataset.data.__getitems__([2, 1])]
    assert source.index.select("id", "group").equals(dataset.index.select("id", "group"))
    assert source.index.schema == dataset.index.schema
    found = cached_features(model, source, tmp_path, batch_size=3).values
    assert found.shape == (3, 12)
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("method", ["embedding", "original"])
def test_the_stage_removes_what_the_features_say(tweets, method):
    table, files = looked_at(tweets)
    table = table.with_columns(teacher_label=0)[:40]
    values = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)
    values[[11, 30]] = values[2] * [[1.001], [0.999]]
    settings = duplicates.Settings(method=method, features=lambda table, files: values)
    result = duplicates.remove(table, files, settings)
    listed = result.tables["duplicates"]
    of = dict(listed.filter(~listed["kept"]).select("id", "duplicate_of").iter_rows())
    ids = table["id"]
    original = original_written_out(values, 100, 0.15)
    expected = {"embedding": {11: 2, 30: 2}, "original": original}[method]
    assert of == {ids[number]: ids[other] for number, other in expected.items()}
    assert set(result.table["id"]) == set(ids) - set(of)
    groups = dict(listed.select("id", "group").iter_rows())
    assert all(groups[duplicate] == groups[kept] for duplicate, kept in of.items())
