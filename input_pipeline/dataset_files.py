"""The files of a dataset folder one by one: shards of records, and what TFDS knows of them.

TFDS' own writer takes a split from one generator in one process. Here shards are written by
themselves, wherever there is a core; their bytes depend on nothing but the records in them.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from input_pipeline.records import Record

_OPTIONS = "group_size:1,uncompressed"
"""TFDS' group size, for random access. Photos are compressed already."""
_READ_AT_ONCE = 64


def shard_name(dataset: str, split: str, number: int, shards: int) -> str:
    """The name that TFDS gives to a shard."""
    return f"{dataset}-{split}.array_record-{number:05}-of-{shards:05}"


def to_bytes(record: Record) -> bytes:
    """A record, without text, as TFDS stores it.

    TFDS' own serialiser takes nearly twice as long, and leaves the order of the fields to
    protobuf, where it differs between processes.
    """
    feature = tf_feature_pb2.Feature
    fields = {
        "image": feature(bytes_list=tf_feature_pb2.BytesList(value=[record.image])),
        "id": feature(bytes_list=tf_feature_pb2.BytesList(value=[record.id.encode()])),
        "group": feature(bytes_list=tf_feature_pb2.BytesList(value=[record.group.encode()])),
        "teacher_probs": feature(float_list=tf_feature_pb2.FloatList(value=record.teacher_probs)),
        "teacher_label": feature(int64_list=tf_feature_pb2.Int64List(value=[record.teacher_label])),
        "human_label": feature(int64_list=tf_feature_pb2.Int64List(value=[record.human_label])),
    }
    return tf_example_pb2.Example(
        features=tf_feature_pb2.Features(feature=fields)
    ).SerializeToString(deterministic=True)


def from_bytes(data: bytes) -> Record:
    """The record that `to_bytes` took."""
    fields = tf_example_pb2.Example.FromString(data).features.feature
    (image,), (name,), (group,) = (fields[key].bytes_list.value for key in ("image", "id", "group"))
    labels = (fields[key].int64_list.value[0] for key in ("teacher_label", "human_label"))
    probs = np.array(fields["teacher_probs"].float_list.value, np.float32)
    return Record(image, name.decode(), group.decode(), probs, *labels)


def in_group(data: bytes, group: str) -> bytes:
    """A stored record with that group; the same bytes where it has it already."""
    record = from_bytes(data)
    if record.group == group:
        return data
    return to_bytes(dataclasses.replace(record, group=group))


def write_shard(path: str | os.PathLike[str], examples: Iterable[bytes]) -> None:
    """Writes an ArrayRecord file."""
    writer = array_record_module.ArrayRecordWriter(os.fspath(path), _OPTIONS)
    try:
        for example in examples:
            writer.write(example)
    finally:
        writer.close()


def read_shard(path: str | os.PathLike[str]) -> Iterable[bytes]:
    """The examples of an ArrayRecord file, in order, as they are stored."""
    reader = array_record_module.ArrayRecordReader(os.fspath(path))
    try:
        count = reader.num_records()
        for start in range(0, count, _READ_AT_ONCE):
            yield from reader.read(start, min(start + _READ_AT_ONCE, count))
    finally:
        reader.close()


def write_info(
    info: tfds.core.DatasetInfo,
    folder: pathlib.Path,
    splits: Mapping[str, tuple[Sequence[int], int]],
) -> None:
    """Writes TFDS' description of a dataset.

    Args:
      splits: the number of records of each shard, and the bytes of all of them.
    """
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=list(lengths),
            num_bytes=size,
            filename_template=tfds.core.ShardedFileTemplate(
                dataset_name=info.name, data_dir=folder, split=split, filetype_suffix="array_record"
            ),
        )
        for split, (lengths, size) in splits.items()
    ]
    info.set_splits(tfds.core.SplitDict(infos))
    info.write_to_directory(folder)
