"""Which test file runs which commands, so that two cores have as much to do."""

import pytest
from documented import commands, exceptions

GROUPS = {
    "training": ("vit_sentiment.train", "vit_sentiment.sweep"),
    "evaluating": ("vit_sentiment.evaluate",),
    "tweets": ("vit_sentiment.distill", "vit_sentiment.bench"),
    "folds": ("vit_sentiment.cross_validate", "vit_sentiment.study", "vit_sentiment.demo"),
}
_TAKEN = [module for modules in GROUPS.values() for module in modules]


def cases(group: str = ""):
    """pytest parameters: the commands of a group; without a name those of no group."""
    found = [
        command
        for command in commands.shown()[0]
        if command.text not in exceptions.NOT_RUN
        and (command.module in GROUPS[group] if group else command.module not in _TAKEN)
    ]
    return [pytest.param(command, id=command.text.removeprefix("python -m ")) for command in found]
