"""Weight files for tests: reading, writing, and what an error about one looks like."""

import numpy as np

from checkpoints import formats


def arrays(path):
    with np.load(path) as file:
        return dict(file)


def save(path, flat):
    np.savez(path, **flat)
    return path


def assert_one_line(error, path):
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def restore(path, **hints):
    """Description and parameters."""
    restored = formats.restore(path, **hints)
    return restored.described, restored.params
