"""Compressed bytes."""

import gzip

import pyarrow


def zstd(data: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def packed(data: bytes) -> dict[str, bytes]:
    """The bytes by the suffix that tells their compression."""
    return {"": data, ".gz": gzip.compress(data), ".zst": zstd(data)}
