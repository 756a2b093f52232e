"""What all tests share."""

import os
import pathlib
import subprocess
import sys

import pytest

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
