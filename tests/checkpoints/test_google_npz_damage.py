"""Files that are no checkpoints, or are damaged: one line with the name, and nothing else."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from npz_files import arrays, assert_one_line, restore, save

from checkpoints import google_npz
from vit_sentiment.runtime.errors import UserError

BLOCK_0 = "Transformer/encoderblock_0/"


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def unreadable(kind, folder):
    path = folder / "weights.npz"
    valid = io.BytesIO()
    np.savez(valid, a=np.arange(1000.0), b=np.arange(9))
    if kind == "objects":
        np.savez(path, a=np.array([Trap(folder / "trace")], object))
    elif kind == "objects in .npy":
        with open(path, "wb") as file:
            np.save(file, np.array([Trap(folder / "trace")], object), allow_pickle=True)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"a": Trap(folder / "trace")}))
    elif kind == "old pickle":
        path.write_bytes(pickle.dumps({"a": Trap(folder / "trace")}, protocol=0))
    elif kind == "text":
        path.write_text("weights? none here\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "HDF5":
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    elif kind == "truncated":
        path.write_bytes(valid.getvalue()[:-200])
    elif kind == "cut after the first bytes":
        path.write_bytes(valid.getvalue()[:3])
    elif kind == "folder":
        path.mkdir()
    elif kind == "flipped bit":
        data = bytearray(valid.getvalue())
        data[1000] ^= 1
        path.write_bytes(data)
    elif kind == "flipped bit, compressed":
        np.savez_compressed(path, a=np.random.default_rng(0).normal(size=1000))
        data = bytearray(path.read_bytes())
        data[90:300] = b"\xff" * 210
        path.write_bytes(data)
    elif kind == "zip of other things":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Trap(folder / "trace")))
    elif kind == "zip with another thing":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("embedding/kernel.npy", b"not an array")
            archive.writestr("README.txt", "weights")
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "objects", "objects in .npy", "pickle", "old pickle", "text", "empty", "HDF5", "truncated",
        "cut after the first bytes", "folder", "flipped bit", "flipped bit, compressed",
        "zip of other things", "zip with another thing", "missing",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_an_error_of_one_line(tmp_path, kind):
    path = unreadable(kind, tmp_path)
    with pytest.raises(UserError) as error:
        restore(path)
    assert_one_line(error, path)
    assert not (tmp_path / "trace").exists()


def test_a_pickle_and_a_truncated_file_are_called_so(tmp_path):
    for kind, word in (("pickle", "pickle"), ("truncated", "truncated"), ("empty", "empty")):
        (tmp_path / kind).mkdir()
        with pytest.raises(UserError, match=word):
            restore(unreadable(kind, tmp_path / kind))


@pytest.mark.parametrize("extra", [b"notes", None])
def test_a_checkpoint_with_something_else_in_it_is_an_error(golden, tmp_path, extra):
    path = save(tmp_path / "model.npz", arrays(golden / "google_augreg/checkpoint.npz"))
    with zipfile.ZipFile(path, "a") as archive:
        if extra:
            archive.writestr("README.txt", extra)
    if extra is None:
        flat = arrays(path) | {"names": np.array(["a", "b"])}
        save(path, flat)
    with pytest.raises(UserError, match=r"README|names"):
        restore(path)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.tuples(st.integers(0), st.integers(1, 255)), max_size=4),
    st.integers(0),
    st.booleans(),
)
def test_damaged_archives_never_raise_anything_else(tmp_path, flips, cut, compressed):
    buffer = io.BytesIO()
    write = np.savez_compressed if compressed else np.savez
    write(buffer, a=np.arange(30, dtype=np.float32), b=np.zeros((2, 3)))
    data = bytearray(buffer.getvalue())
    for position, bits in flips:
        data[position % len(data)] ^= bits
    path = tmp_path / "damaged.npz"
    path.write_bytes(data[: len(data) - (cut % len(data) if cut % 3 == 0 else 0)])
    try:
        found = google_npz.read(path)
    except UserError:
        return
    assert all(isinstance(value, np.ndarray) for value in found.values())
