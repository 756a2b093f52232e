"""Connections of clients that take their time."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """Is closed where a request's head, or the rest of a refused body, does not come in time.

    The bodies of requests that are taken have a limit of their own, see `uploads.read`.
    """

    def __init__(self, *args: Any, seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seconds = seconds
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _watch(self) -> None:
        theirs, ours = self.conn.their_state, self.conn.our_state
        if theirs is not h11.IDLE and not (theirs is h11.SEND_BODY and ours is h11.DONE):
            self._forget()
        elif self._end is None and not self.transport.is_closing():
            self._end = self.loop.call_later(self._seconds, self.transport.abort)

    def _forget(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
