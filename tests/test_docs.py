"""The documents: every command in them parses, and every link leads somewhere."""

import pathlib
import re

import pytest
from parse_commands import command_lines, problems

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTION = re.compile(r"(?<![\w-])--([a-z]\w*)")


def without_blocks(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def blocks(text):
    """Command lines of the shell blocks of a document, continued lines joined."""
    for block in re.findall(r"^```sh\n(.*?)^```$", text, flags=re.S | re.M):
        yield from command_lines(block)


def spans(text):
    """Commands within the text and its tables: module, and the rest as it stands.

    They may be patterns such as `--workdir=DIR|--weights=FILE`, so only flags are looked at.
    """
    for span in re.findall(r"`(python -m [^`]+)`", without_blocks(text)):
        _, _, module, *rest = span.split(maxsplit=3)
        yield module, "".join(rest)


def asked():
    """By module: the commands that must parse and the flags that must exist, with where."""
    found = {}
    for document in DOCUMENTS:
        text = document.read_text()
        for module, words in blocks(text):
            found.setdefault(module, ([], set()))[0].append(words)
        for module, rest in spans(text):
            found.setdefault(module, ([], set()))[1].update(OPTION.findall(rest))
    return found


ASKED = asked()


def test_commands_are_found_in_blocks_and_in_the_text():
    text = "A `python -m a.b --x=1|--y` and\n```sh\npython -m c.d --z=1 \\\n  -w 'e f'  # g\n```\n"
    assert list(blocks(text)) == [("c.d", ["--z=1", "-w", "e f"])]
    assert list(spans(text)) == [("a.b", "--x=1|--y")]
    assert OPTION.findall("--x=1|--y a--b") == ["x", "y"]


@pytest.mark.parametrize("module", sorted(ASKED))
def test_every_command_in_the_documents_parses(module):
    commands, flags = ASKED[module]
    assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file()
    assert problems(module, commands, flags) == []


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
    targets = re.findall(r"\]\(([^)#\s]+)", without_blocks(document.read_text()))
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
