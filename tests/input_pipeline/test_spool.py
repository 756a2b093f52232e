"""Splits of any size are written in order, without what TFDS needs TensorFlow for."""

import pytest
from tensorflow_datasets.core import shuffle

from input_pipeline.builder import prepare
from input_pipeline.demo_tweets.demo_tweets_dataset_builder import DemoTweets, DemoTweetsConfig
from input_pipeline.sources import open_source
from input_pipeline.spool import Spool, in_order


def test_gives_back_what_it_got_in_order(tmp_path):
    examples = [b"", b"a", bytes(range(256)) * 9, b"last"]
    spool = Spool(tmp_path, hash_salt="x", disable_shuffling=True)
    for key, data in enumerate(examples):
        spool.add(key, data)
    assert spool.num_examples == 4
    assert spool.size == sum(map(len, examples))
    assert list(spool) == list(enumerate(examples))
    assert list(tmp_path.iterdir()) == []


def test_a_gap_in_the_order_is_a_defect(tmp_path):
    spool = Spool(tmp_path)
    spool.add(0, b"first")
    with pytest.raises(ValueError, match="example 2 came as number 1"):
        spool.add(2, b"third")


def test_only_a_block_is_patched():
    before = shuffle.Shuffler
    with in_order():
        assert shuffle.Shuffler is Spool
    assert shuffle.Shuffler is before


def test_splits_beyond_the_memory_limit_of_tfds_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 1000)
    config = DemoTweetsConfig(name="big", count=40)
    source = open_source(str(prepare(DemoTweets(config=config, data_dir=tmp_path))))
    numbers = [int(record.group) % 10**9 for record in source.records()]
    assert numbers == list(range(40))
