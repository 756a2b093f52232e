"""Pieces of cards: Markdown with a YAML head, in the style of the Hugging Face hub."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def front_matter(values: Mapping[str, Any]) -> str:
    """The YAML head; values are JSON values, and those that are empty or None are left out."""
    lines = ["---"]
    for key, value in values.items():
        if value in (None, "", [], {}):
            continue
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            lines += [f"{key}:", *(f"- {json.dumps(item)}" for item in value)]
        else:
            lines.append(f"{key}: {json.dumps(value)}")  # JSON is YAML.
    return "\n".join([*lines, "---"])


def section(title: str, *parts: str) -> str:
    """A heading with paragraphs below it; nothing at all where all of them are empty."""
    told = [part for part in parts if part]
    return "\n\n".join([f"## {title}", *told]) if told else ""


def document(head: str, title: str, sections: Iterable[str]) -> str:
    """The whole card; empty sections are left out."""
    return "\n\n".join([head, f"# {title}", *filter(None, sections)]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; nothing at all where there are no rows."""
    body = [*rows]
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines) if body else ""


def commands(*lines: str) -> str:
    """A block of shell commands."""
    return "\n".join(["```sh", *lines, "```"])


def cell(value: Any) -> str:
    """How a value stands in a table: in one line, counts with commas, lists with commas between."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list):
        value = ", ".join(map(str, value)) or None
    text = "none" if value is None else str(value)
    return " ".join(text.replace("|", "\\|").split())
