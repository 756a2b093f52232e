"""Where a server listens; nothing here waits for jax."""

import socket

from vit_sentiment.runtime.errors import UserError


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound but refuses connections until `listen`.

    Raises:
      UserError: the address is taken, or none of this machine's.
    """
    if not host:
        raise UserError("--host: expected an address, found nothing; 0.0.0.0 is all of them")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _refused(host, port, error) from error
    return bound


def listen(bound: socket.socket) -> str:
    """From now on connections wait until they are accepted; gives the address for people.

    Raises:
      UserError: another server, which was bound at the same time, listens there already.
    """
    host, port = bound.getsockname()[:2]
    try:
        bound.listen(1024)
    except OSError as error:
        raise _refused(host, port, error) from error
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _refused(host: str, port: int, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"--host={host} --port={port}: {reason}")
