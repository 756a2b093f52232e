"""What a manifest tells."""

import importlib.metadata
import json
import platform
import subprocess
import sys

import jax
import pytest

import vit_sentiment
from vit_sentiment.reporting import manifest


def test_a_manifest_tells_versions_devices_and_the_facts_given(tmp_path):
    manifest.write(tmp_path / "out", {"seed": 3, "teacher": "vader"})
    found = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert found["seed"] == 3
    assert found["teacher"] == "vader"
    assert found["vit_sentiment"] == vit_sentiment.__version__
    assert found["python"] == platform.python_version()
    assert found["command"] == sys.argv
    assert found["devices"] == [str(device) for device in jax.devices()]
    for name in ("jax", "flax", "optax", "numpy"):
        assert found["packages"][name] == importlib.metadata.version(name)


@pytest.mark.parametrize(("status", "suffix"), [("", ""), (" M a.txt\n", "+changes")])
def test_the_commit_says_whether_files_differ_from_it(tmp_path, monkeypatch, status, suffix):
    answers = {"rev-parse": "0123abcd\n", "status": status}

    def run(command, **_):
        assert command[:3] == ["git", "-C", str(tmp_path)]
        return subprocess.CompletedProcess(command, 0, stdout=answers[command[3]])

    monkeypatch.setattr(vit_sentiment, "__file__", str(tmp_path / "vit_sentiment" / "__init__.py"))
    monkeypatch.setattr(subprocess, "run", run)
    assert manifest.commit() is None
    (tmp_path / ".git").mkdir()
    assert manifest.commit() == "0123abcd" + suffix


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(vit_sentiment, "__file__", str(tmp_path / "vit_sentiment" / "__init__.py"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert manifest.commit() is None
