"""A run after one that ended early uses what that one found, but nothing that has changed since."""

import json
import shutil

import cv2
import loopback
import numpy as np
import polars as pl
import pytest

from configs import distill
from input_pipeline.problems import Problems
from vit_sentiment.distillation import pipeline, settings
from vit_sentiment.runtime.errors import UserError

WORDS = ("I love this great day so much", "I hate this awful day so much")
COUNT = 40


def encoded(seed):
    noise = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), np.uint8)
    return cv2.imencode(".png", cv2.resize(noise, (32, 32)))[1].tobytes()


@pytest.fixture
def crawl(tmp_path):
    """A folder of tweets with a photo each."""
    folder = tmp_path / "crawl"
    (folder / "images").mkdir(parents=True)
    ids = [f"{n:05}" for n in range(COUNT)]
    texts = [f"{WORDS[n % 2]} {n}" for n in range(COUNT)]
    pl.DataFrame({"id": ids, "text": texts}).write_csv(folder / "raw_tweets_text.csv")
    list_photos(folder, ids)
    for n, id_ in enumerate(ids):
        (folder / "images" / f"{id_}.png").write_bytes(encoded(n))
    return folder


def list_photos(folder, ids):
    paths = [f"{id_}.png" for id_ in ids]
    pl.DataFrame({"id_tweet": ids, "path": paths}).write_csv(folder / "all_imgs.csv")


def distil(tweets, **values):
    """What `pipeline.run` finds into `out` beside the tweets."""
    config = distill.get_config()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in values.items()})
    inputs = pipeline.Inputs(str(tweets), None, None, None)
    return pipeline.run(
        inputs, settings.stages(config, {}), tweets.parent / "out", Problems("skip")
    )


def ids_of(found):
    return sorted(pl.concat(found.parts.values())["id"])


def test_where_nothing_is_left_the_funnel_so_far_is_written(crawl):
    with pytest.raises(UserError, match=r"thresholds; funnel\.json says where they went"):
        distil(crawl, thresholds="0.99999")
    funnel = json.loads((crawl.parent / "out" / "funnel.json").read_text())
    assert [*funnel] == ["read", "filter", "look", "teacher", "label"]
    assert funnel["label"]["positive tweets not above 0.99999"] == COUNT // 2
    assert [funnel[stage]["photos left"] for stage in ("teacher", "label")] == [COUNT, 0]


def test_a_list_of_photos_that_changed_is_read_again(crawl):
    with pytest.raises(UserError):
        distil(crawl, filter__min_words=100)
    ids = [f"{n:05}" for n in range(COUNT - 4)]
    list_photos(crawl, ids)
    assert ids_of(distil(crawl)) == [f"{id_}.png" for id_ in ids]


def test_photos_that_were_missing_are_looked_for_again(crawl):
    path = crawl / "images" / "00003.png"
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(UserError):
        distil(crawl, filter__min_words=100)
    path.write_bytes(data)
    found = distil(crawl)
    assert "photos missing" not in found.funnel["read"]
    assert len(ids_of(found)) == COUNT


def test_photos_that_changed_are_looked_at_again(crawl):
    path = crawl / "images" / "00003.png"
    path.write_bytes(b"broken")
    with pytest.raises(UserError, match="no photo is labelled neutral"):
        distil(crawl, balance="smallest")
    path.write_bytes(encoded(3))
    look, teacher = (crawl.parent / "out" / name for name in ("stages/look", "teacher"))
    for folder in (look, teacher):
        with pytest.raises(UserError, match=f"remove {folder} or choose another --out"):
            distil(crawl)
        shutil.rmtree(folder)
    assert len(ids_of(distil(crawl))) == COUNT


@pytest.fixture
def table(tmp_path):
    """A table of tweets with the URL of a photo each, its server, and how to fetch."""
    with loopback.serving() as server:
        path, ids = tmp_path / "tweets.csv", [f"{n:05}" for n in range(COUNT)]
        texts, urls = (
            [f"{WORDS[n % 2]} {n}" for n in range(COUNT)],
            [f"{server.url}/{i}" for i in ids],
        )
        pl.DataFrame({"id": ids, "text": texts, "images": urls}).write_csv(path)
        server.will(loopback.Reply(status=503))
        yield path, server, {"fetch__enabled": True, "fetch__attempts": 1}


def serve(server, numbers):
    for n in numbers:
        server.will(loopback.Reply(encoded(n)), at=f"/{n:05}")


def test_photos_that_failed_for_now_are_fetched_again(table):
    path, server, get = table
    with pytest.raises(UserError, match="no photo is left after the crawl filter"):
        distil(path, **get)
    serve(server, range(COUNT))
    found = distil(path, **get)
    assert found.funnel["fetch"]["fetched"] == COUNT
    assert ids_of(found) == [f"{n:05}-0.jpg" for n in range(COUNT)]


def test_photos_that_failed_for_now_do_not_undo_the_looks_at_the_others(table):
    path, server, get = table
    serve(server, range(COUNT - 1))
    first = ids_of(distil(path, **get))
    assert len(first) == COUNT - 1
    serve(server, [COUNT - 1])
    assert ids_of(distil(path, **get)) == first


def test_tweets_that_a_table_lacks_are_not_labelled(crawl):
    table = crawl.parent / "labels.csv"
    rows = [
        (f"{n:05}", 0.7, 0.1, 0.2) if n % 2 else (f"{n:05}", 0.1, 0.19, 0.71) for n in range(36)
    ]
    pl.DataFrame(rows, schema=["id", "NEG", "NEU", "POS"], orient="row").write_csv(table)
    found = distil(
        crawl, teacher__name="table", teacher__table=str(table), thresholds="0.69/0.9/0.7"
    )
    assert found.funnel["teacher"] == {"tweets labelled": 36, "photos left": COUNT}
    told = found.funnel["label"]
    assert told["tweets without a teacher row"] == told["photos of tweets left out"] == COUNT - 36


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_seeds_that_cannot_split_are_one_line(crawl, seed):
    with pytest.raises(UserError, match=f"config.seed: expected 0 to 4294967295, found {seed}"):
        distil(crawl, seed=seed)


def test_a_teacher_table_that_is_not_there_is_told_before_the_work(crawl):
    with pytest.raises(UserError, match=r"config\.teacher\.table: nope\.csv: no such file"):
        distil(crawl, teacher__name="table", teacher__table="nope.csv")
    assert not (crawl.parent / "out").exists()


def test_photos_with_urls_alone_are_told_to_be_fetched(table):
    path, _, _ = table
    with pytest.raises(UserError, match=r"known by URL alone; --config\.fetch\.enabled"):
        distil(path)
