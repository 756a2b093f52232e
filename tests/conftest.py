"""What all tests share."""

import os
import pathlib
import subprocess
import sys

import loopback
import pytest
import report_checks

from vit_sentiment.reporting import html

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def golden() -> pathlib.Path:
    """Folder of outputs that other, public implementations gave; see its README."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def run():
    """A function that runs `python -m MODULE ARGS...` as a user would, from the checkout.

    It returns the completed process with text output; `devices` forces that many CPU devices,
    `env` adds variables, `cwd` is the working folder.
    """

    def run_module(module, *args, devices=1, env=None, cwd=ROOT, timeout=300):
        environment = os.environ | (env or {})
        environment["PYTHONPATH"] = str(ROOT)
        environment["JAX_PLATFORMS"] = "cpu"
        if devices > 1:
            environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
        return subprocess.run(
            [sys.executable, "-m", module, *map(str, args)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=cwd,
            timeout=timeout,
        )

    return run_module


@pytest.fixture(scope="session", autouse=True)
def checked_reports():
    """Every report that a test makes in this process is checked, whatever the test is about."""
    made = html.page

    def page(*args, **kwargs):
        text = made(*args, **kwargs)
        report_checks.check(text, photos="<img" in text)
        return text

    html.page = page
    yield
    html.page = made


@pytest.fixture
def server(monkeypatch):
    """A server on loopback, which no proxy of the environment is asked for."""
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    with loopback.serving() as running:
        yield running


@pytest.fixture(scope="session")
def tweets(tmp_path_factory):
    """Folder of 200 drawn tweets with texts."""
    import tiny  # Imports jax, which many tests do without.

    return tiny.tweets(tmp_path_factory)


@pytest.fixture(scope="session")
def distilled(tmp_path_factory, run):
    """Folder that the command `distill` wrote from `tweets`: 160, 20 and 20 photos."""
    import tiny

    return tiny.distilled(tmp_path_factory, run)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, run):
    """Workdir of a complete run of the tiny config on `distilled`."""
    import tiny

    return tiny.trained(tmp_path_factory, run)


@pytest.fixture(scope="module")
def quick_compilation():
    """For modules in which compiling is most of the time: programs run for milliseconds.

    What other modules compile is left alone, and so is what the commands do that a test starts.
    """
    import jax
    import tiny  # noqa: F401 (It sets up the cache of compiled programs.)

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
