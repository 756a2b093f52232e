"""Clients that take their time, and the sockets on which they come."""

import asyncio
import signal
import types

import pytest
import uvicorn
from uvicorn.server import ServerState

from vit_sentiment.runtime.errors import UserError
from vit_sentiment.serving import running, sockets
from vit_sentiment.serving.connections import Connection

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


async def slow(scope, receive, send):
    """Answers after longer than clients have for their heads, and reads no body."""
    await asyncio.sleep(0.3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answer"})


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (b"", 0),
        (HEAD, 0),
        (HEAD + b"\r\n" + HEAD, 1),
        (HEAD + b"Content-Length: 9\r\n\r\nhalf", 1),
        (HEAD + b"\r\n" + HEAD + b"\r\n", 2),
    ],
    ids=["nothing", "half a head", "half a second head", "half a refused body", "all"],
)
def test_what_does_not_come_is_not_waited_for(sent, answers):
    async def run():
        config = uvicorn.Config(slow, lifespan="off", log_config=None, timeout_keep_alive=1000)
        config.load()

        def connection():
            return Connection(config=config, server_state=ServerState(), app_state={}, seconds=0.1)

        server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
        async with server, asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(sent)
            received = b""
            try:
                while data := await reader.read(1000):
                    received += data
            except ConnectionResetError:
                pass
            writer.close()
        assert received.count(b"answer") == answers

    asyncio.run(run())


def test_at_the_end_slow_clients_have_the_time_that_is_left(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    service = types.SimpleNamespace(draining=False, active=1)
    config = uvicorn.Config(slow, log_config=None)
    server = running._Server(config, service, 30.0)
    server.handle_exit(signal.SIGTERM, None)
    assert not asyncio.run(server.on_tick(1))
    service.active, now = 0, 110.0
    assert asyncio.run(server.on_tick(1))
    assert config.timeout_graceful_shutdown == 20.0


def test_of_two_servers_that_start_at_once_one_is_told():
    with sockets.bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with sockets.bind("127.0.0.1", port) as second:
            assert sockets.listen(first) == f"http://127.0.0.1:{port}"
            with pytest.raises(UserError, match="Address already in use"):
                sockets.listen(second)


def test_no_address_is_not_all_addresses():
    with pytest.raises(UserError, match="--host"):
        sockets.bind("", 0)
