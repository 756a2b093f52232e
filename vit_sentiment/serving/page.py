"""The page as one document."""

import pathlib

_FOLDER = pathlib.Path(__file__).parent / "static"
_SCRIPTS = ("requests.js", "cards.js", "history.js", "page.js")
"""In the order in which they run, as one."""


def document() -> str:
    """HTML with its one style sheet and its one script inside.

    So it is one request, and `guard.page_policy` can name all that browsers may run.
    """
    script = "\n".join(map(_read, _SCRIPTS))
    html = _read("page.html").replace("{{style}}", _read("page.css"))
    return html.replace("{{script}}", script)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
