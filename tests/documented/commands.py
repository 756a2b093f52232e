"""Every command that documents, notebooks and docstrings show.

Shown to be run are the lines of shell blocks, of indented examples and of notebook cells, and
commands within a sentence that name files of their own. The rest of what stands between backticks
are *patterns*, such as `--workdir=DIR|--weights=FILE`, of which the flags must exist.
"""

import ast
import dataclasses
import functools
import itertools
import json
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))
PACKAGES = ("vit_sentiment", "checkpoints", "input_pipeline", "configs")
MODULES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]

STARTS = ("python", "make", "pip", "source", "curl", "srun")
"""First words of what counts as a command."""

_BLOCK = r"^(?P<indent> *)```{language}\n(?P<body>.*?)^(?P=indent)```$"
_SPAN = r"`((?:{starts}) [^`]+)`"
_PLACEHOLDER = re.compile(r"[|\[\]…]|(?:^|=)[A-Z]+\b(?![\w/.])")
_OPTION = re.compile(r"(?<![\w-])--([a-z]\w*)")


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line as a shell would take it apart.

    Attributes:
      text: with single blanks, without the comment and the pipe behind it.
      words: what the program gets.
      feed: the shell command whose output it reads; empty for none.
    """

    text: str
    words: tuple[str, ...]
    feed: str = ""

    @property
    def module(self) -> str:
        """What `python -m` runs; empty for other commands."""
        return self.words[2] if self.words[:2] == ("python", "-m") else ""


def lines(text: str) -> list[Command]:
    """The commands of a shell script."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        parts = line.split(" | ")
        for number, part in enumerate(parts):
            words = shlex.split(part, comments=True)
            if words and words[0] in STARTS:
                found.append(_command(words, " | ".join(parts[:number])))
    return found


def _command(words: list[str], feed: str) -> Command:
    file = "".join(word[1:] for word in words if word.startswith("<"))
    words = [word for word in words if not re.match(r"<|2>", word)]
    feed = f"cat {file}" if file else feed.strip()
    text = shlex.join(words)
    words = words[1:] if words[0] == "srun" else words
    return Command(f"{feed} | {text}" if feed else text, tuple(words), feed)


def _blocks(text: str, language: str) -> list[str]:
    pattern = _BLOCK.format(language=language)
    return [match["body"] for match in re.finditer(pattern, text, flags=re.S | re.M)]


def without_blocks(text: str) -> str:
    """The text of a document without its fenced blocks."""
    return re.sub(_BLOCK.format(language=r"\w*"), "", text, flags=re.S | re.M)


def _indented(text: str, blanks: int, starts: tuple[str, ...] = STARTS) -> list[Command]:
    """Examples that stand `blanks` or more to the right, and what continues them."""
    example = rf"^ {{{blanks},}}(?:{'|'.join(starts)}) (?:.*\\\n)*.*$"
    return [command for found in re.findall(example, text, flags=re.M) for command in lines(found)]


def _spans(text: str, starts: tuple[str, ...]) -> list[str]:
    found = re.findall(_SPAN.format(starts="|".join(starts)), text)
    return [" ".join(span.split()) for span in found]


def of_document(text: str) -> tuple[list[Command], list[str]]:
    """Commands to run and patterns of a Markdown text."""
    rest = without_blocks(text)
    found = [command for block in _blocks(text, "sh") for command in lines(block)]
    return _with_spans([*found, *_indented(rest, 4)], _spans(rest, STARTS))


def of_module(source: str) -> tuple[list[Command], list[str]]:
    """Commands to run and patterns of a Python module's docstring."""
    docstring = ast.get_docstring(ast.parse(source), clean=False) or ""
    return _with_spans(_indented(docstring, 2, ("python",)), _spans(docstring, ("python",)))


def of_notebook(text: str) -> tuple[list[Command], list[str]]:
    """Commands to run and patterns of a notebook: `!` lines, `%%sh` cells, and its texts."""
    found, patterns = [], []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            more = of_document(source)
            found, patterns = found + more[0], patterns + more[1]
        elif source.startswith(("%%sh", "%%bash", "%%script")):
            found += lines(source)
        else:
            found += lines("\n".join(re.findall(r"^\s*!((?:.*\\\n)*.*)$", source, flags=re.M)))
    return found, patterns


def _with_spans(found: list[Command], spans: list[str]) -> tuple[list[Command], list[str]]:
    """A span with arguments and without a placeholder is a command to run."""
    whole = [span for span in spans if not any(map(_PLACEHOLDER.search, span.split()))]
    whole = [span for span in whole if not re.fullmatch(r"python -m [\w.]+", span)]
    found = [*found, *(command for span in whole for command in lines(span))]
    return found, [span for span in spans if span not in whole]


@functools.cache
def shown() -> tuple[dict[Command, list[str]], dict[str, list[str]]]:
    """Commands to run and patterns, each with the files that show it, in the order of these."""
    readers = ((DOCUMENTS, of_document), (NOTEBOOKS, of_notebook), (MODULES, of_module))
    commands: dict[Command, list[str]] = {}
    patterns: dict[str, list[str]] = {}
    for files, read in readers:
        for file in files:
            found, fragments = read(file.read_text())
            for all_of_kind, new in ((commands, found), (patterns, fragments)):
                for one in dict.fromkeys(new):
                    all_of_kind.setdefault(one, []).append(file.relative_to(ROOT).as_posix())
    return commands, patterns


def options(pattern: str) -> tuple[str, list[str]]:
    """Module, with its command if there is one, and flags of a pattern `python -m ...`."""
    _, _, module, *rest = pattern.split(maxsplit=3)
    return module, _OPTION.findall("".join(rest))


def python_blocks() -> list[tuple[str, str]]:
    """(file, source) of each block of Python in the documents."""
    return [
        (file.relative_to(ROOT).as_posix(), source)
        for file, source in itertools.chain.from_iterable(
            [(file, block) for block in _blocks(file.read_text(), "python")] for file in DOCUMENTS
        )
    ]
