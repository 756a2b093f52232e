"""A report as one HTML file that needs nothing else: no script, no font, no other host."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any

_CSS = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; display: inline-block; background: white; color: black; padding: .5rem; }
figure svg { max-width: 100%; height: auto; } figcaption { max-width: 26rem; font-size: .9rem; }
.warning { border-left: .3rem solid #d9730d; padding: .5rem 1rem; }
.photos figure { width: 11rem; vertical-align: top; } .photos img { width: 100%; }
@media print { body { max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A complete document from pieces that the other functions make."""
    name = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def warning(text: str) -> str:
    """A paragraph that must not be overlooked."""
    return f'<p class="warning"><strong>Warning.</strong> {html.escape(text)}</p>'


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers with four decimals, None as a dash."""

    def cells(values: Sequence[Any], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(cell(value))}</{tag}>" for value in values)

    body = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table>\n<tr>{cells(header, 'th')}</tr>\n{body}\n</table>"


def cell(value: Any) -> str:
    """How a value is written in tables, on a terminal too."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def figure(svg: str, caption: str) -> str:
    """An inline SVG with a caption."""
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def photos(items: Iterable[tuple[bytes, str]]) -> str:
    """JPEG files with captions, embedded."""
    figures = (
        f'<figure><img alt="" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for data, caption in items
    )
    return f'<div class="photos">{"".join(figures)}</div>'
