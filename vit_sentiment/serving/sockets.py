"""Where a server listens; nothing here waits for jax."""

import socket

from vit_sentiment.runtime.errors import UserError


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound but refuses connections until the server listens.

    Raises:
      UserError: the address is taken, or none of this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--host={host} --port={port}: {reason}") from error
    return bound
