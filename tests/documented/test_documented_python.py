"""Blocks of Python in the documents run, after the commands whose results they read."""

import pytest
from documented import commands, groups, running, shortening


@pytest.fixture(scope="module")
def folders(python, documented_world, tmp_path_factory):
    """A function: the folder of a document, in which the commands before its blocks have run."""
    made = {}

    def get(file):
        if file not in made:
            made[file] = tmp_path_factory.mktemp("block") / "here"
            running.furnish(made[file], documented_world)
            for command in groups.before_blocks(file):
                running.check(command, python, documented_world, made[file])
        return made[file]

    return get


@pytest.mark.parametrize(("file", "source"), commands.python_blocks())
def test_block(file, source, python, folders):
    folder = folders(file)
    (folder / "block.py").write_text(shortening.shortened_block(source))
    done = python.run(["block.py"], folder)
    assert done.returncode == 0, done.stderr
