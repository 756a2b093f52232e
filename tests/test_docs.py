"""The documents: every command in them is run or listed as not, and every link leads somewhere."""

import json
import re
import subprocess

import pytest
from documented import commands, exceptions, groups, shortening
from documented.commands import DOCUMENTS, ROOT
from parse_commands import problems

MOST_NOT_RUN = 29
COMMANDS, PATTERNS = commands.shown()


def asked():
    """By module: commands that are not run but must parse, and flags that must exist."""
    found = {}
    for command in COMMANDS:
        reason = exceptions.NOT_RUN.get(command.text, "")
        if command.module and reason and reason not in exceptions.FRAGMENTS:
            found.setdefault(command.module, ([], set()))[0].append(command.words[3:])
    for pattern in PATTERNS:
        module, flags = commands.options(pattern)
        if "VERB" not in module:
            found.setdefault(module, ([], set()))[1].update(flags)
    return found


ASKED = asked()


def texts(found):
    return [command.text for command in found]


def test_commands_are_found_in_blocks_examples_and_sentences_of_documents():
    text = (
        "A `python -m a.b --x=1|--y`, a `python -m a.b c` and\n"
        "1. so:\n   ```sh\n   python -m c.d --z=1 \\\n     -w 'e f'  # g\n   ```\n\n"
        "    python -m e.f \\\n        --i=j\n"
    )
    found, patterns = commands.of_document(text)
    expected = ["python -m c.d --z=1 -w 'e f'", "python -m e.f --i=j", "python -m a.b c"]
    assert texts(found) == expected
    assert patterns == ["python -m a.b --x=1|--y"]
    assert commands.options(patterns[0]) == ("a.b", ["x", "y"])


def test_pipes_redirections_and_wrappers_are_taken_apart():
    text = "ls *.jpg | python -m a -\npython -m a - <b.jpg\nsrun python -m c 2>&1 | tail\n"
    found = commands.lines(text)
    assert [command.feed for command in found] == ["ls *.jpg", "cat b.jpg", ""]
    assert [command.module for command in found] == ["a", "a", "c"]
    assert found[2].text == "srun python -m c"


def test_commands_are_found_in_docstrings():
    source = '"""A.\n\n  python -m a.b --c \\\\\n      --d\n\n`python -m a.b FILE`.\n"""\n'
    found, patterns = commands.of_module(source)
    assert texts(found) == ["python -m a.b --c --d"]
    assert patterns == ["python -m a.b FILE"]


def test_commands_are_found_in_notebooks():
    cells = [
        {"cell_type": "markdown", "source": ["```sh\n", "python -m a.b --c\n", "```"]},
        {"cell_type": "code", "source": ["import json\n", "!python -m a.b \\\n", "  --d\n"]},
        {"cell_type": "code", "source": ["%%sh\n", "python -m a.b --e"]},
    ]
    found, _ = commands.of_notebook(json.dumps({"cells": cells}))
    assert texts(found) == [f"python -m a.b --{letter}" for letter in "cde"]


def test_every_command_is_run_once_or_listed():
    run = groups.curl() + [c for file in groups.BEFORE_BLOCKS for c in groups.before_blocks(file)]
    run += [command for group in ("", *groups.GROUPS) for command in groups.of_group(group)]
    assert len(set(run)) == len(run)
    kinds = {shortening.likeness(command) for command in run}
    left = [c.text for c in COMMANDS if shortening.likeness(c) not in kinds]
    assert set(left) <= set(exceptions.NOT_RUN)
    assert {command.words[0] for command in run} == {"python", "curl"}


def test_commands_that_differ_in_names_alone_are_alike():
    def likeness(line):
        return shortening.likeness(commands.lines(line)[0])

    train = "python -m vit_sentiment.train --config=configs/demo.py --workdir=runs/{}"
    assert likeness(train.format("x")) == likeness(train.format("small"))
    assert likeness(train.format("x")) != likeness(train.format("x --seeds=0,1"))
    assert likeness("python -m a --m=runs/small") == likeness("python -m a --m=runs/b32")
    assert likeness("python -m a --m=runs/small") != likeness("python -m a --m=runs/seeds")
    assert likeness("python -m a --out=a.csv") != likeness("python -m a --out=a.npz")


def test_what_is_not_run_is_little_and_still_documented():
    assert set(exceptions.NOT_RUN) <= set(texts(COMMANDS))
    assert len(exceptions.NOT_RUN) <= MOST_NOT_RUN


@pytest.mark.parametrize("module", sorted(ASKED))
def test_what_is_not_run_parses(module):
    not_run, flags = ASKED[module]
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    assert problems(module, not_run, flags) == []


def test_make_has_the_targets_that_are_named():
    named = [command.words[1:] for command in COMMANDS if command.words[0] == "make"]
    assert named
    for target in named:
        subprocess.run(["make", "--dry-run", *target], cwd=ROOT, check=True, capture_output=True)


def test_what_does_not_parse_is_found():
    commands = [
        ["--config=configs/demo.py", "--workdir=x"],
        ["--config=configs/demo.py"],
        ["--config=configs/demo.py", "--workdir=x", "--config.sede=1"],
        ["--config=configs/far.py", "--workdir=x"],
        ["--config=configs/demo.py", "--workdir=x", "--nosuchflag=1"],
        ["--config=configs/demo.py", "--workdir=x", "stray"],
    ]
    found = problems("vit_sentiment.train", commands, {"seeds", "nosuch"})
    assert [subject for subject, _ in found] == [*map(" ".join, commands[1:]), "--nosuch"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    targets = re.findall(r"\]\(([^)#\s]+)", commands.without_blocks(document.read_text()))
    missing = [
        target
        for target in targets
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document):
    """Such as `configs/tweets.py:small`; not those below folders that a user has."""
    names = re.findall(
        r"`?((?:configs|tests|checkpoints|vit_sentiment|input_pipeline)/[\w/]+\.(?:py|json|csv))",
        document.read_text(),
    )
    assert [name for name in names if not (ROOT / name).exists()] == []
