"""Blocks of Python in the documents run."""

import pytest
from documented import commands


@pytest.mark.parametrize(("file", "source"), commands.python_blocks())
def test_block(file, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(source, file, "exec"), {})
