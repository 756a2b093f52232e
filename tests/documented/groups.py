"""Which test file runs which commands, so that two cores have as much to do."""

import functools
import re

import pytest
from documented import commands, exceptions, shortening
from documented.commands import Command

GROUPS = {
    "training": ("vit_sentiment.train", "vit_sentiment.sweep"),
    "evaluating": ("vit_sentiment.evaluate",),
    "tweets": ("vit_sentiment.distill", "vit_sentiment.bench"),
    "folds": ("vit_sentiment.cross_validate", "vit_sentiment.study", "vit_sentiment.demo"),
    "predicting": ("vit_sentiment.predict", "vit_sentiment.export"),
    "serving": ("vit_sentiment.serve",),
}
_TAKEN = [module for modules in GROUPS.values() for module in modules]

BEFORE_BLOCKS = {
    "docs/export.md": (r"--out=small\.onnx", r"--out=small-stablehlo"),
    "docs/score_millions.md": (r"--list=photos\.txt --out=runs/scores$",),
}
"""Commands whose results the blocks of Python of a document read; they run in one folder."""


@functools.cache
def run() -> tuple[Command, ...]:
    """Commands to run: not what is listed, and of those that do the same with copies the first."""
    found = {}
    for command in commands.shown()[0]:
        if command.text not in exceptions.NOT_RUN:
            found.setdefault(shortening.likeness(command), command)
    return tuple(found.values())


def before_blocks(file: str) -> list[Command]:
    """The commands that the blocks of a document need."""
    patterns = BEFORE_BLOCKS.get(file, ())
    return [
        next(command for command in run() if re.search(pattern, command.text))
        for pattern in patterns
    ]


def curl() -> list[Command]:
    """The requests to a server."""
    return [command for command in run() if command.words[0] == "curl"]


def of_group(group: str = "") -> list[Command]:
    """Commands of a group; without a name those of no group. Those before blocks are in none."""
    needed = [command for file in BEFORE_BLOCKS for command in before_blocks(file)]
    return [
        command
        for command in run()
        if command not in needed
        and command.words[0] != "curl"
        and (command.module in GROUPS[group] if group else command.module not in _TAKEN)
    ]


def cases(found: list[Command]):
    """pytest parameters."""
    return [pytest.param(command, id=command.text.removeprefix("python -m ")) for command in found]
