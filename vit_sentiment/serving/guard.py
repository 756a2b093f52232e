"""What surrounds every route: who may ask, how failures are told, what is counted and logged."""

import base64
import hashlib
import re
import secrets
import time
import traceback

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vit_sentiment.runtime.progress import say
from vit_sentiment.serving.failures import Failure
from vit_sentiment.serving.measures import Measures

POLICY = "default-src 'none'; frame-ancestors 'none'"

_GONE = 499
"""Counted and logged, as nginx does, where the client went before its answer."""


def page_policy(page: str) -> str:
    """The Content-Security-Policy of a page: its own inline scripts and styles, nothing else."""

    def hashes(tag: str) -> str:
        texts = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", page, re.DOTALL | re.IGNORECASE)
        digests = (hashlib.sha256(text.encode()).digest() for text in texts)
        allowed = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
        return " ".join(allowed or ["'none'"])

    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {hashes('script')}",
            f"style-src {hashes('style')}",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


class Guard:
    """Middleware around the routes: refuses, measures, logs, and sets what every answer needs."""

    def __init__(
        self, app: ASGIApp, measures: Measures, allowed_hosts: tuple[str, ...], policy: str
    ) -> None:
        """
        Args:
          allowed_hosts: what the Host header may name; empty for any.
          policy: Content-Security-Policy of the page at `/`.
        """
        self._app, self._measures = app, measures
        self._allowed_hosts, self._page_policy = allowed_hosts, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), _GONE
        scope.setdefault("state", {})["images"] = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._secure(MutableHeaders(scope=message), _route(scope))
            await send(message)

        try:
            _check_host(scope, self._allowed_hosts)
            _check_site(scope)
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            pass
        except Failure as failure:
            await failure.response()(scope, receive, sending)
        except Exception as error:
            number = secrets.token_hex(8)
            _log_defect(number, error)
            text = f"the server failed; its log has more under {number}"
            await Failure(500, "internal", text).response()(scope, receive, sending)
        finally:
            seconds, route = time.perf_counter() - start, _route(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._measures.request(method, route, status, seconds)
            say(f"{method} {route} {status} {1000 * seconds:.0f} ms {_images(scope)}")

    def _secure(self, headers: MutableHeaders, route: str) -> None:
        headers["Content-Security-Policy"] = self._page_policy if route == "/" else POLICY
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cache-Control"] = "no-store"


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _route(scope: Scope) -> str:
    """The route's pattern, never the path: anyone may ask for any path."""
    return scope["route"].path if "route" in scope else "other"


def _images(scope: Scope) -> str:
    count = scope["state"]["images"]
    return f"{count} image{'' if count == 1 else 's'}"


def _check_host(scope: Scope, allowed: tuple[str, ...]) -> None:
    """A page of another site that lets its own name lead here is refused (DNS rebinding)."""
    host = Headers(scope=scope).get("host", "")
    name = re.sub(r":\d+$", "", host).lower()
    if allowed and name not in allowed:
        raise Failure(400, "unknown_host", "the Host header names another server")


def _check_site(scope: Scope) -> None:
    """Browsers tell where a request comes from: other sites may not have photos judged here.

    Of those that tell it twice, Sec-Fetch-Site is what they judged by the address that they asked;
    a proxy in between may have changed Host.
    """
    if scope["method"] != "POST":
        return
    headers = Headers(scope=scope)
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None:
        own = site in ("same-origin", "none")
    else:
        asked = headers.get("host", "").lower()
        own = origin is None or origin.lower().partition("://")[2] == asked
    if not own:
        raise Failure(403, "cross_site", "requests from pages of other sites are refused")


def _log_defect(number: str, error: Exception) -> None:
    """Where it happened, without the message: that may quote what a client sent."""
    say(f"defect {number}: {type(error).__name__}")
    say("".join(traceback.format_tb(error.__traceback__)).rstrip())


async def tell(request: Request, error: Failure | HTTPException) -> Response:
    """Failures of routes, and those of Starlette itself: no such route or method."""
    if isinstance(error, Failure):
        return error.response()
    code, message = _ROUTING[error.status_code]
    return Failure(error.status_code, code, message, error.headers).response()


_ROUTING = {404: ("not_found", "no such page"), 405: ("bad_method", "this method is not allowed")}
