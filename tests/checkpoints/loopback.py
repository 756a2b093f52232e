"""A real HTTP server on loopback that misbehaves on demand."""

import contextlib
import dataclasses
import http.server
import re
import threading


@dataclasses.dataclass
class Reply:
    """How the server answers one request for `data`.

    Attributes:
      etag, modified: validators that it sends.
      ranges, if_range: whether it heeds `Range` and `If-Range`.
      claims: bytes that it says the whole file has, where it lies; -1 says nothing.
      cut: body bytes after which it closes the connection.
      stall: body bytes after which it goes silent, the connection open.
      status, location, content_type: instead of the proper ones.
      shift: by how much a part that it sends starts too late.
      gate: it waits for this before it sends the body.
    """

    data: bytes = b""
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    if_range: bool = True
    claims: int | None = None
    cut: int | None = None
    stall: int | None = None
    status: int | None = None
    location: str | None = None
    content_type: str = "application/octet-stream"
    shift: int = 0
    gate: threading.Event | None = None


class Loopback:
    """Answers the requests with `replies`, one after the other; the last one again and again."""

    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.replies = []
        self.requests = []
        self.closing = threading.Event()

    def will(self, *replies):
        self.replies[:] = replies
        self.requests.clear()

    @property
    def ranges(self):
        """The `Range` of each request; None where it had none."""
        return [headers.get("Range") for _, headers in self.requests]


@contextlib.contextmanager
def serving():
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            loopback.requests.append((self.path, dict(self.headers)))
            replies = loopback.replies
            with contextlib.suppress(ConnectionError):
                _answer(self, replies.pop(0) if len(replies) > 1 else replies[0], loopback.closing)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    loopback = Loopback(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield loopback
    finally:
        loopback.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler, reply, closing):
    validators = {"ETag": reply.etag, "Last-Modified": reply.modified}
    total = len(reply.data) if reply.claims is None else reply.claims
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    condition = handler.headers.get("If-Range")
    fits = not reply.if_range or condition in (None, *filter(None, validators.values()))
    headers = {"Content-Type": reply.content_type, "Location": reply.location} | validators
    start, status = 0, 200
    if reply.ranges and asked and fits:
        start, status = int(asked[1]) + reply.shift, 206
        headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        if start >= total:
            status, headers["Content-Range"] = 416, f"bytes */{total}"
    headers["Content-Length"] = str(total - start) if total >= start else None
    body = b"" if status == 416 else reply.data[start:]
    handler.send_response(reply.status or status)
    for name, value in headers.items():
        if value is not None and not (status == 416 and name == "Content-Length"):
            handler.send_header(name, value)
    handler.end_headers()
    if reply.gate is not None:
        handler.wfile.flush()
        assert reply.gate.wait(60)
    if reply.stall is not None:
        handler.wfile.write(body[: reply.stall])
        closing.wait(60)
    else:
        handler.wfile.write(body[: reply.cut])
