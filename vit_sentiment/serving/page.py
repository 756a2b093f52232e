"""The page as one document, and the policy under which browsers show it."""

import base64
import functools
import hashlib
import pathlib

_FOLDER = pathlib.Path(__file__).parent / "static"
_SCRIPTS = ("requests.js", "cards.js", "history.js", "page.js")
"""In the order in which they run, as one."""


@functools.cache
def document() -> str:
    """HTML with its style sheet and its script inside, so that it is one request."""
    html = _read("page.html")
    for place, text in (("{{style}}", _read("page.css")), ("{{script}}", _script())):
        html = html.replace(place, text)
    return html


@functools.cache
def policy() -> str:
    """`Content-Security-Policy` of the page: only what is in it runs, and no other host is asked.

    `blob:` is for the photos, which the browser shows itself, and for heat maps; `data:` for the
    icon.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_source(_script())}",
            f"style-src {_source(_read('page.css'))}",
            "img-src blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _script() -> str:
    return "\n".join(map(_read, _SCRIPTS))


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """Names an inline block by its digest: https://www.w3.org/TR/CSP3/#grammardef-hash-source."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
