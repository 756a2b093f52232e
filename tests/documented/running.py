"""Runs documented commands in folders with stand-ins, and looks at what they leave."""

import contextlib
import fcntl
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import loopback
from documented import exceptions, world
from documented.commands import ROOT, Command
from loopback import Reply

ZYGOTE = pathlib.Path(__file__).with_name("zygote.py")
_TOLD = re.compile(r"\b(?:runs|predictions)/[\w./+-]+\.(?:html|csv|json|npz|parquet|txt)\b")


class Python:
    """A process that runs `python WORDS`, one after another; compiled programs are kept."""

    def __init__(self, compiled: pathlib.Path):
        variables = {
            "PYTHONPATH": str(ROOT),
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS")},
            "POLARS_MAX_THREADS": "1",
            "no_proxy": "127.0.0.1,localhost",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(ZYGOTE)],
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, words: list[str], cwd: pathlib.Path) -> subprocess.CompletedProcess:
        files = [f"{cwd}.{stream}" for stream in ("stdout", "stderr")]
        env = {"HOME": str(cwd), "XDG_CACHE_HOME": str(cwd / ".cache"), "PWD": str(cwd)}
        asked = {"words": words, "env": env, "cwd": str(cwd)}
        asked |= dict(zip(("stdout", "stderr"), files, strict=True))
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(
            words, code, *(pathlib.Path(file).read_text() for file in files)
        )

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def build_once(shared: pathlib.Path, python: Python) -> pathlib.Path:
    """The world in `shared`, which the first of all test processes builds."""
    folder = shared / "world"
    with open(shared / "world.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            begun = shared / "world.begun"
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir()

            def call(words):
                done = python.run(words, begun)
                assert done.returncode == 0, f"{words}:\n{done.stderr}"

            world.build(begun, call)
            begun.rename(folder)
    return folder


def state(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    found = {}
    for path, _, names in os.walk(folder):
        for name in names:
            about = os.stat(os.path.join(path, name), follow_symlinks=False)
            found[os.path.relpath(os.path.join(path, name), folder)] = (
                about.st_size,
                about.st_mtime_ns,
            )
    return found


@contextlib.contextmanager
def _served(folder: pathlib.Path, command: Command):
    """The stream of tweets, for a command that names it, and the server of its photos."""
    if world.STREAM not in command.text:
        yield
        return
    with loopback.serving() as server:
        for number, (_, _, path) in enumerate(world.tweets()):
            server.will(Reply(world.photo(number), content_type="image/jpeg"), at=f"/{path}")
        lines = world.stream(lambda path: f"{server.url}/{path}")
        (folder / world.STREAM).write_bytes(gzip.compress(lines))
        yield


def check(command: Command, python: Python, shared: pathlib.Path, folder: pathlib.Path) -> None:
    """Runs a command in `folder`, made of hard links; asserts that it did what it says."""
    left_out = {str(shared / path) for path in world.hidden(command)}

    def ignored(parent, names):
        return [name for name in names if os.path.join(parent, name) in left_out]

    shutil.copytree(shared, folder, symlinks=True, ignore=ignored, copy_function=os.link)
    before, originals = state(folder), state(shared)
    with _served(folder, command):
        done = python.run(world.shortened(command), folder)
    code, message = next(
        (end for pattern, *end in exceptions.OTHER_EXIT if re.search(pattern, command.text)),
        (0, ""),
    )
    told = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == code, told
    assert message in done.stderr
    assert "Traceback" not in told
    assert [path for path in world.written(command) if not (folder / path).exists()] == []
    assert [path for path in _TOLD.findall(done.stdout) if not (folder / path).exists()] == []
    assert done.stdout or state(folder) != before
    assert state(shared) == originals, "written through a hard link, not by renaming"
    shutil.rmtree(folder)
