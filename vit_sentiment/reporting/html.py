"""A report as one HTML file that needs nothing else: no script, no font, no other host.

All reports have the same order: title, a paragraph with the main figures, warnings, sections of
tables and figures, and last how it was made.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vit_sentiment.reporting import manifest

_CSS = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; --line: #bbb; --mark: #d9730d; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --ink: #e6e6e6; --line: #555; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  background: var(--paper); color: var(--ink); overflow-wrap: break-word; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
.summary { font-size: 1.1rem; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead { border-bottom: 2px solid var(--line); } tbody th { font-weight: normal; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.facts td { text-align: left; overflow-wrap: anywhere; }
figure { margin: 1rem 0; display: inline-block; background: #fff; color: #000; padding: .5rem; }
figure svg { max-width: 100%; height: auto; } figcaption { max-width: 30rem; font-size: .9rem; }
.warning { border-left: .3rem solid var(--mark); padding: .5rem 1rem; }
.photos figure { width: 11rem; vertical-align: top; } .photos img { width: 100%; }
@page { margin: 2cm; }
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --line: #888; }
  body { font-size: 10pt; max-width: none; margin: 0; padding: 0; }
  .table { overflow: visible; } table { font-size: 9pt; } thead { display: table-header-group; }
  th, td { padding: .15rem .3rem; overflow-wrap: anywhere; }
  h1, h2 { break-after: avoid; } tr, figure, .warning { break-inside: avoid; }
  figure { padding: 0; }
}
"""

Section = tuple[str, Sequence[str]]
"""A heading, and pieces that `paragraph`, `table`, `figure` and `photos` make."""


def page(
    title: str,
    summary: str,
    sections: Iterable[Section],
    facts: Mapping[str, Any],
    *,
    warnings: Iterable[str] = (),
    made: Mapping[str, Any] | None = None,
) -> str:
    """A complete document.

    Args:
      summary: one paragraph: what this is about, and the main figures.
      facts: what it was made from, field by field; stands at the end.
      warnings: what a reader must not overlook.
      made: command, commit, versions, devices and date as `manifest.surroundings` gives them;
        None for those of this process.
    """
    name = html.escape(title)
    told = {**facts, **manifest.told(manifest.surroundings() if made is None else made)}
    rows = [
        (key, str(value) if isinstance(value, float) else value)  # Such as learning rates.
        for key, value in manifest.leaves(told).items()
        if value is not None
    ]
    parts = [
        f'<p class="summary">{html.escape(summary)}</p>',
        *map(warning, warnings),
        *(_section(number, *section) for number, section in enumerate(sections, 1)),
        _section(0, "How this was made", [table(("fact", "value"), rows, kind="facts")]),
    ]
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n<h1>{name}</h1>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _section(number: int, heading: str, parts: Sequence[str]) -> str:
    id_ = f"section-{number}"
    title = f'<h2 id="{id_}">{html.escape(heading)}</h2>'
    return "\n".join([f'<section aria-labelledby="{id_}">', title, *parts, "</section>"])


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def warning(text: str) -> str:
    """A paragraph that must not be overlooked."""
    return f'<p class="warning"><strong>Warning.</strong> {html.escape(text)}</p>'


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, kind: str = "") -> str:
    """A table, the first column of which names the rows; see `cell` for how values are written.

    Args:
      kind: `facts` where the values are texts.
    """
    head = "".join(_header(name, "col") for name in header)
    body = "\n".join(
        f"<tr>{_header(cell(first), 'row')}"
        + "".join(f"<td>{html.escape(cell(value))}</td>" for value in rest)
        + "</tr>"
        for first, *rest in rows
    )
    # A table that is wider than the window is scrolled, by keyboard too.
    return (
        f'<div class="table {kind}" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _header(text: str, scope: str) -> str:
    """An empty corner is no header of anything."""
    return f'<th scope="{scope}">{html.escape(text)}</th>' if text else "<td></td>"


def cell(value: Any) -> str:
    """How a value is written in tables, on a terminal too: four decimals, None as a dash."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def figure(svg: str, caption: str) -> str:
    """An inline SVG with a caption."""
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def photos(items: Iterable[tuple[bytes, str]]) -> str:
    """JPEG files with captions, embedded; only for reports that were asked for photos."""
    figures = (
        '<figure><img alt="The photo of the caption" '
        f'src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for data, caption in items
    )
    return f'<div class="photos">{"".join(figures)}</div>'
