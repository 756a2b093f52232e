"""What a run was made from, in `manifest.json` of every output folder."""

import datetime
import importlib.metadata
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import vit_sentiment
from vit_sentiment.runtime import files

FILE = "manifest.json"

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets")
_PACKAGES += ("numpy", "scipy", "scikit-learn", "simplejpeg", "opencv-python-headless", "pillow")
_PACKAGES += ("polars", "tokenizers", "onnx", "onnxruntime", "starlette", "uvicorn")
_ROOTS = ("vit_sentiment", "checkpoints", "input_pipeline")


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
    """Date (UTC), commit, command, versions and devices of this process."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "vit_sentiment": vit_sentiment.__version__,
        "commit": commit(),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        **_devices(),
    }


def told(made: Mapping[str, Any]) -> dict[str, Any]:
    """Surroundings as a report or a card tells them: command, commit, versions, hardware, date.

    Args:
      made: see `surroundings`, or a manifest; what it lacks is None.
    """
    kind, count = made.get("device_kind"), len(made.get("devices", ()))
    system = made.get("platform")
    versions = {"vit_sentiment": made.get("vit_sentiment"), "Python": made.get("python")}
    versions |= made.get("packages", {})
    shown = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return {
        "command": command_line(made["command"]) if made.get("command") else None,
        "commit": made.get("commit"),
        "versions": shown or None,
        "hardware": ", ".join(filter(None, [kind and f"{count} {kind}", system])) or None,
        "date": made.get("date"),
    }


def command_line(argv: Sequence[str]) -> str:
    """The words of a process as they are typed; where its checkout lies is left out."""
    path = pathlib.PurePath(argv[0])
    inside = [n for n, part in enumerate(path.parts[:-1]) if part in _ROOTS]
    if not inside or path.suffix != ".py":
        return shlex.join([path.name, *argv[1:]])
    module = ".".join([*path.parts[inside[-1] : -1], path.stem])
    return shlex.join(["python", "-m", module, *argv[1:]])


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """JSON values by their dotted names, such as `config.stages[0].epochs`."""
    if isinstance(value, Mapping):
        pairs = [(f"{prefix}.{k}" if prefix else k, v) for k, v in value.items()]
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        pairs = [(f"{prefix}[{i}]", v) for i, v in enumerate(value)]
    else:
        return {prefix: value}
    return {k: leaf for name, item in pairs for k, leaf in leaves(item, name).items()}


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
