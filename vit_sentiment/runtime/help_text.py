"""What `--help` prints of a verb or of one of its commands."""

import ast
import importlib.util
import inspect
import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from absl import flags

Groups = Mapping[str, tuple[flags.FlagHolder[Any], ...]]

EXIT_CODES = """\
Exit codes: 0 success, also of a run that was stopped and saved; 1 a mistake in the input, told in
one line; 2 a defect of this project, with a traceback; 130 interrupted."""
UNGROUPED = "Options"

_WIDTH = 100
_COLUMN = 24
"""Longer heads have their text below."""
_CONFIG = "config object"
_CONFIG_FIELDS = "Changes a field of the config; docs/config.md explains every one."
_METAVARS = {
    _CONFIG: "FILE.py[:ARG]",
    "comma separated list of strings": "A,B,...",
    "string": "TEXT",
    "multi string": "TEXT",
}


def render(
    doc: str,
    module: Any,
    *,
    command: str = "",
    arguments: tuple[str, ...] = (),
    groups: Groups | None = None,
    commands: Mapping[str, str] | None = None,
    needs_config: bool = False,
) -> str:
    """The help of a verb, or of a command of it.

    Args:
      doc: a sentence, a paragraph of examples, and details; the last two may be missing.
      module: what `flags.FLAGS` knows the key flags by, the module or its name.
      command: its name, if it has one.
      arguments: names of the positional arguments.
      groups: titles of the options to the flags below them; others stand below `UNGROUPED`.
      commands: names to modules, which are read but not imported, of the verb's commands.
      needs_config: whether `--config` must be given.
    """
    sentence, examples, details = _parts(doc)
    named = {name: path for name, path in (commands or {}).items() if name}
    found = {flag.name: flag for flag in flags.FLAGS.get_key_flags_for_module(module)}
    verb = " ".join(filter(None, [_program(), command]))
    words = [verb, "COMMAND" if named and not found else "[COMMAND]" if named else ""]
    values = [f"[{name}]" if name.endswith("...") else name for name in arguments]
    usage = [*words, "[options]" if found or named else "", *values]
    blocks = [sentence, f"Usage: {' '.join(filter(None, usage))}"]
    if examples:
        blocks.append(f"Examples:\n{examples}")
    if named:
        title = f"Commands; {verb} COMMAND --help tells more of each"
        blocks.append(_block(title, [(name, _sentence_of(path)) for name, path in named.items()]))
    titles = {title: [holder.name for holder in group] for title, group in (groups or {}).items()}
    grouped = {name for names in titles.values() for name in names}
    titles[UNGROUPED] = sorted(found.keys() - grouped)
    for title, names in titles.items():
        if names:
            rows = [row for name in names for row in _rows(flags.FLAGS[name], needs_config)]
            blocks.append(_block(title, rows))
    return "\n\n".join([*blocks, *details, EXIT_CODES])


def _parts(doc: str) -> tuple[str, str, list[str]]:
    """The sentence, the examples or nothing, and the other paragraphs of a docstring."""
    sentence, *rest = re.split(r"\n\s*\n", inspect.cleandoc(doc))
    examples = rest.pop(0) if rest and rest[0].lstrip().startswith("python -m ") else ""
    return sentence, textwrap.indent(textwrap.dedent(examples), "  "), rest


def _program() -> str:
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name}" if spec else f"python {sys.argv[0]}"


def _sentence_of(module: str) -> str:
    """The sentence of a module's docstring, which is read from its source: importing is slow."""
    source = importlib.util.find_spec(module).loader.get_source(module)
    return _one_line(_parts(ast.get_docstring(ast.parse(source)))[0])


def _rows(flag: flags.Flag[Any], needs_config: bool) -> list[tuple[str, str]]:
    """A flag as one writes it, and its text; of a config file, also how its fields are set."""
    kind = flag.flag_type()
    head = f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}={_metavar(flag)}"
    short = f"-{flag.short_name}, " if flag.short_name else ""
    text = _one_line(flag.help).removesuffix("; repeat this option to specify a list of values")
    text = re.sub(r"^(string enum )?<.*?>: ", "", text)
    notes = [
        "required" if _is_required(flag) or (needs_config and kind == _CONFIG) else "",
        "may be repeated" if kind.startswith("multi ") else "",
        f"default: {_typed(flag)}" if _typed(flag) else "",
    ]
    if note := "; ".join(filter(None, notes)):
        text = f"{text.removesuffix('.')} ({note})."
    rows = [(short + head, text)]
    if kind == _CONFIG:
        rows.append((f"--{flag.name}.FIELD=VALUE", _CONFIG_FIELDS))
    return rows


def _metavar(flag: flags.Flag[Any]) -> str:
    if isinstance(flag.parser, flags.EnumParser):
        return "|".join(flag.parser.enum_values)
    return _METAVARS.get(flag.flag_type(), flag.flag_type().upper())


def _typed(flag: flags.Flag[Any]) -> str:
    """The default as one would type it; nothing where it says nothing."""
    if flag.boolean:
        return f"--{flag.name}" if flag.default else ""
    if isinstance(flag.default, list):
        return ",".join(flag.default)
    return "" if flag.default is None else str(flag.default)


def _is_required(flag: flags.Flag[Any]) -> bool:
    return any("must have a value other than None" in rule.message for rule in flag.validators)


def _block(title: str, rows: list[tuple[str, str]]) -> str:
    """Rows below a title, each on one line if it fits, else the text below its head."""
    column = max((len(head) for head, _ in rows if len(head) <= _COLUMN), default=0)
    lines = [f"{title}:"]
    for head, text in rows:
        line = f"  {head:{column}}  {text}"
        if len(head) <= column and len(line) <= _WIDTH:
            lines.append(line)
        else:
            indent = " " * 6
            below = textwrap.fill(
                text,
                _WIDTH,
                initial_indent=indent,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            lines += [f"  {head}", below]
    return "\n".join(lines)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
