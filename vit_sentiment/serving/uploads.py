"""The photos of a request's body, kept in memory alone and never more of them than allowed."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from vit_sentiment.serving.failures import Failure, too_large
from vit_sentiment.serving.settings import Settings

_PART_OVERHEAD = 2**13
"""Bytes of a part's headers and boundary; more is refused by their declared length."""

Admit = Callable[[], None]
"""Takes one more photo in, or raises a Failure."""


@dataclasses.dataclass
class Upload:
    """A photo's file.

    Attributes:
      name: that the client gave it, if any.
      data: its bytes.
    """

    name: str | None
    data: bytes


async def read(request: Request, settings: Settings, admit: Admit) -> list[Upload]:
    """The photos of a multipart or raw body, in order; there is at least one.

    Args:
      admit: is called for the first photo before anything is read, and for each other one before
        its bytes are.

    Raises:
      Failure: the body is too large, too slow, malformed or of an unknown type.
      starlette.requests.ClientDisconnect: the client has gone.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Failure(415, "unsupported_encoding", "content encodings are not supported")
    multipart = kind == b"multipart/form-data"
    if not multipart and not kind.startswith(b"image/") and kind != b"application/octet-stream":
        expected = "multipart/form-data, image/* or application/octet-stream"
        raise Failure(415, "unsupported_type", f"Content-Type: expected {expected}")
    if multipart and not options.get(b"boundary"):
        raise Failure(400, "bad_multipart", "multipart without a boundary")
    most = settings.max_bytes
    if multipart:
        most = settings.max_images * (settings.max_bytes + _PART_OVERHEAD) + _PART_OVERHEAD
    declared = request.headers.get("content-length", "0")
    if int(declared) > most:
        raise too_large("the body", most)
    admit()
    chunks = _at_most(request.stream(), most)
    try:
        async with asyncio.timeout(settings.read_seconds):
            if multipart:
                return await _multipart(chunks, options[b"boundary"], settings, admit)
            return [Upload(None, b"".join([chunk async for chunk in chunks]))]
    except TimeoutError as error:
        seconds = f"{settings.read_seconds:g} s"
        close = {"Connection": "close"}
        raise Failure(408, "timeout", f"the body did not come within {seconds}", close) from error


async def _at_most(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > most:
            raise too_large("the body", most)
        yield chunk


async def _multipart(
    chunks: AsyncIterator[bytes], boundary: bytes, settings: Settings, admit: Admit
) -> list[Upload]:
    parts = _Parts(settings, admit)
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
    except FormParserError as error:
        raise Failure(400, "bad_multipart", "the multipart body is malformed") from error
    if not parts.ended:
        raise Failure(400, "bad_multipart", "the multipart body ends too early")
    if not parts.found:
        raise Failure(400, "no_image", "the request has no image")
    return parts.found


class _Parts:
    """What the parser has found so far."""

    def __init__(self, settings: Settings, admit: Admit) -> None:
        self.found: list[Upload] = []
        self.ended = False
        self._settings, self._admit = settings, admit
        self._field, self._value, self._headers = bytearray(), bytearray(), {}
        self._data = bytearray()

    def callbacks(self) -> dict[str, Callable[..., None]]:
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished",
                 "part_data", "part_end", "end")  # fmt: skip
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        self._headers, self._data = {}, bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field, self._value = bytearray(), bytearray()

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"filename" not in options:
            raise Failure(400, "bad_multipart", "each part must be a file with a file name")
        if len(self.found) == self._settings.max_images:
            raise too_large("the request", self._settings.max_images, "images")
        if self.found:
            self._admit()
        self._name = options[b"filename"].decode("utf-8", "replace") or None

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if len(self._data) + end - start > self._settings.max_bytes:
            raise too_large("an image", self._settings.max_bytes)
        self._data += data[start:end]

    def part_end(self) -> None:
        self.found.append(Upload(self._name, bytes(self._data)))
        self._data = bytearray()

    def end(self) -> None:
        self.ended = True
