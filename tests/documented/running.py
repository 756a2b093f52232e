"""Runs documented commands in folders with stand-ins, and looks at what they leave."""

import contextlib
import fcntl
import gzip
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

import loopback
from documented import exceptions, shortening, world
from documented.commands import ROOT, Command
from loopback import Reply

# Compiles five times as fast; later versions do not know it and would refuse to start.
_OLD_XLA = tuple(map(int, importlib.metadata.version("jaxlib").split(".")[:2])) < (0, 11)
QUICK_XLA = "--xla_cpu_use_fusion_emitters=false" if _OLD_XLA else ""
ZYGOTE = pathlib.Path(__file__).with_name("zygote.py")
LONGEST_SECONDS = 60
"""Of a request."""
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
            "XLA_FLAGS": QUICK_XLA,
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

    def run(
        self, words: Sequence[str], cwd: pathlib.Path, stdin: str = os.devnull
    ) -> subprocess.CompletedProcess:
        asked = _question(words, cwd, stdin)
        code = self._ask(asked | {"waits": True})
        told = [pathlib.Path(asked[stream]).read_text() for stream in ("stdout", "stderr")]
        return subprocess.CompletedProcess(words, code, *told)

    def _ask(self, question) -> int:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    @contextlib.contextmanager
    def running(self, words: Sequence[str], cwd: pathlib.Path):
        """Runs `python WORDS` until the end of the block, where SIGTERM must end it with 0.

        Gives the file of what it says on standard error.
        """
        told = pathlib.Path(f"{cwd}.stderr")
        told.touch()
        process = self._ask(_question(words, cwd, os.devnull) | {"waits": False})
        try:
            yield told
        finally:
            os.kill(process, signal.SIGTERM)
            code = self._ask({"process": process})
        assert code == 0, told.read_text()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def _question(words: Sequence[str], cwd: pathlib.Path, stdin: str) -> dict:
    env = {"HOME": str(cwd), "XDG_CACHE_HOME": str(cwd / ".cache"), "PWD": str(cwd)}
    files = {stream: f"{cwd}.{stream}" for stream in ("stdout", "stderr")}
    return {"words": [*words], "env": env, "cwd": str(cwd), "stdin": stdin, **files}


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


def furnish(folder: pathlib.Path, shared: pathlib.Path, command: Command | None = None) -> None:
    """Puts hard links to all stand-ins in a folder, without those that a command is to write."""
    left_out = {str(shared / path) for path in world.hidden(command)} if command else ()

    def ignored(parent, names):
        return [name for name in names if os.path.join(parent, name) in left_out]

    shutil.copytree(shared, folder, symlinks=True, ignore=ignored, copy_function=os.link)


def _fed(command: Command, folder: pathlib.Path) -> str:
    """The file of what a command reads on standard input."""
    if not command.feed:
        return os.devnull
    path = f"{folder}.stdin"
    with open(path, "wb") as file:
        subprocess.run(command.feed, shell=True, cwd=folder, stdout=file, check=True)
    return path


def check(command: Command, python: Python, shared: pathlib.Path, folder: pathlib.Path) -> None:
    """Runs a command in a furnished folder; asserts that it did what it says."""
    before, originals = state(folder), state(shared)
    with _served(folder, command):
        done = python.run(shortening.shortened(command), folder, _fed(command, folder))
    code, message = next(
        (end for pattern, *end in exceptions.OTHER_EXIT if re.search(pattern, command.text)),
        (0, ""),
    )
    told = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == code, told
    assert message in done.stderr
    assert "Traceback" not in told
    assert [path for path in shortening.written(command) if not (folder / path).exists()] == []
    assert [path for path in _TOLD.findall(done.stdout) if not (folder / path).exists()] == []
    assert done.stdout or state(folder) != before
    assert state(shared) == originals, "written through a hard link, not by renaming"


def request(words: Sequence[str], folder: pathlib.Path) -> None:
    """Runs curl, which must be answered with 200; what it says or writes is not empty."""
    words = [*words, "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]
    done = subprocess.run(words, cwd=folder, capture_output=True, timeout=LONGEST_SECONDS)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    written = [folder / words[number + 1] for number, word in enumerate(words) if word == "-o"]
    assert all(path.stat().st_size for path in written) if written else json.loads(done.stdout)
