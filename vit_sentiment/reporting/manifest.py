"""What a run was made from, in `manifest.json` of every output folder."""

import importlib.metadata
import pathlib
import platform
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import vit_sentiment
from vit_sentiment.runtime import files

FILE = "manifest.json"

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets")
_PACKAGES += ("numpy", "scipy", "scikit-learn", "simplejpeg", "opencv-python-headless", "pillow")
_PACKAGES += ("polars", "tokenizers", "onnx", "onnxruntime", "starlette", "uvicorn")


def write(folder: pathlib.Path, facts: Mapping[str, Any]) -> None:
    """Writes commit, versions, devices and `facts` (JSON values) to the folder's manifest."""
    files.write_json(folder / FILE, {**surroundings(), **facts})


def note_resumption(folder: pathlib.Path, step: int) -> None:
    """Adds the surroundings of a resumed part of a run to the folder's manifest."""
    path = folder / FILE
    manifest = files.read_json(path) if path.exists() else {}
    parts = [*manifest.get("resumed", []), {"step": step, **surroundings()}]
    files.write_json(path, {**manifest, "resumed": parts})


def surroundings() -> dict[str, Any]:
    """Commit, command, versions and devices of this process."""
    return {
        "vit_sentiment": vit_sentiment.__version__,
        "commit": commit(),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        **_devices(),
    }


def _devices() -> dict[str, Any]:
    """Empty for commands that compute nothing, and so never imported jax."""
    jax = sys.modules.get("jax")
    if jax is None:
        return {}
    return {
        "devices": [str(device) for device in jax.devices()],
        "device_kind": jax.devices()[0].device_kind,
        "processes": jax.process_count(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The checkout's commit, with `+changes` if files differ from it; None outside a checkout."""
    root = pathlib.Path(vit_sentiment.__file__).parents[1]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
