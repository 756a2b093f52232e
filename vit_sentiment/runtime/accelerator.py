"""What to set before JAX computes: the compile cache, and a look for a GPU that JAX ignores."""

import os
import pathlib
import shutil

import jax

from vit_sentiment.runtime.progress import say


def prepare() -> None:
    """Turns on the persistent compile cache and warns when an NVIDIA GPU lies idle.

    The cache is in `$JAX_COMPILATION_CACHE_DIR`, or `vit_sentiment/xla` below the user's cache.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(base, "vit_sentiment/xla")))
    has_gpu = shutil.which("nvidia-smi") and pathlib.Path("/proc/driver/nvidia").exists()
    if has_gpu and jax.default_backend() == "cpu":
        say(
            "warning: this machine has an NVIDIA GPU, but JAX runs on the CPU; "
            "install requirements-cuda.txt"
        )
