"""A real HTTP server on loopback that misbehaves on demand."""

import collections
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
      drip: seconds between the bytes of the body.
      headers: others.
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
    drip: float | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


class Loopback:
    """Answers the requests with `replies`, one after the other; the last one again and again.

    Paths may have replies of their own. `active` requests have come and have not got their body.
    """

    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.replies = []
        self.pages = {}
        self.requests = []
        self.connections = 0
        self.active = collections.Counter()
        self.most_active = collections.Counter()
        self.closing = threading.Event()
        self._lock = threading.Lock()

    def will(self, *replies, at=None):
        if at is None:
            self.replies[:] = replies
        else:
            self.pages[at] = [*replies]
        self.requests.clear()

    def reply(self, path):
        with self._lock:
            replies = self.pages.get(path, self.replies)
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def count(self, host, change):
        with self._lock:
            self.active[host] += change
            self.most_active[host] = max(self.most_active[host], self.active[host])

    @property
    def paths(self):
        """The path of each request."""
        return [path for path, _ in self.requests]

    @property
    def ranges(self):
        """The `Range` of each request; None where it had none."""
        return [headers.get("Range") for _, headers in self.requests]


@contextlib.contextmanager
def serving(keep_alive=False):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if keep_alive else "HTTP/1.0"
        disable_nagle_algorithm = True  # Headers and body are two writes.

        def log_message(self, *args):
            pass

        def setup(self):
            super().setup()
            loopback.connections += 1

        def do_GET(self):
            loopback.requests.append((self.path, dict(self.headers)))
            with contextlib.suppress(ConnectionError):
                _answer(self, loopback.reply(self.path), loopback)

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
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


def _answer(handler, reply, loopback):
    validators = {"ETag": reply.etag, "Last-Modified": reply.modified}
    total = len(reply.data) if reply.claims is None else reply.claims
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    condition = handler.headers.get("If-Range")
    fits = not reply.if_range or condition in (None, *filter(None, validators.values()))
    headers = {"Content-Type": reply.content_type, "Location": reply.location} | validators
    headers |= reply.headers
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
    host = handler.headers["Host"]
    loopback.count(host, +1)
    try:
        if reply.gate is not None:
            handler.wfile.flush()
            assert reply.gate.wait(60)
    finally:
        loopback.count(host, -1)  # Before the body: whoever has it may ask for the next one.
    if reply.stall is not None:
        handler.wfile.write(body[: reply.stall])
        loopback.closing.wait(60)
    elif reply.drip is not None:
        for place in range(len(body)):
            handler.wfile.write(body[place : place + 1])
            if loopback.closing.wait(reply.drip):
                return
    else:
        handler.wfile.write(body[: reply.cut])
