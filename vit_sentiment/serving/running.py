"""The server process: its signals and its end."""

import contextlib
import functools
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn

from vit_sentiment.serving.app import make_app
from vit_sentiment.serving.connections import Connection
from vit_sentiment.serving.service import Service


class _Server(uvicorn.Server):
    """On SIGTERM or SIGINT answers what was accepted, refuses the rest and ends with success."""

    def __init__(self, config: uvicorn.Config, service: Service, drain_seconds: float) -> None:
        super().__init__(config)
        self._service, self._drain_seconds = service, drain_seconds
        self._deadline = float("inf")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signals again in the end, which would spoil the exit code.
        handled = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.draining and sig == signal.SIGINT:
            self._deadline = 0.0
            for connection in list(self.server_state.connections):
                connection.transport.abort()
        elif not self._service.draining:
            self._service.draining = True
            self._deadline = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        left = self._deadline - time.monotonic()
        if left <= 0 or (self._service.draining and not self._service.active):
            # What is answered may still be on its way to a slow client.
            self.config.timeout_graceful_shutdown = max(left, 1)  # type: ignore[assignment]
            return True
        return await super().on_tick(counter)


def run(service: Service, bound: socket.socket, drain_seconds: float) -> None:
    """Serves until a signal comes.

    Args:
      drain_seconds: within which accepted requests must be answered after it.
    """
    config = uvicorn.Config(
        make_app(service),
        http=functools.partial(Connection, seconds=service.settings.read_seconds),  # type: ignore
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        root_path=service.settings.root_path,
        backlog=1024,
    )
    _Server(config, service, drain_seconds).run([bound])
