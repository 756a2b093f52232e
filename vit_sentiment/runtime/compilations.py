"""Counting compilations: a program that is compiled again and again is a slow one."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

_EVENT = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Yields a function that tells how many programs this process has compiled in the block."""
    import jax  # Nothing that merely parses flags waits for it.

    lock, found = threading.Lock(), 0

    def listen(event: str, seconds: float, **facts: Any) -> None:
        nonlocal found
        if event == _EVENT:
            with lock:
                found += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield lambda: found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
