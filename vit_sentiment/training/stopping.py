"""SIGTERM and Ctrl-C ask a run to save and stop; a second Ctrl-C ends it at once."""

import contextlib
import signal
from collections.abc import Callable, Iterator

AGREE_EVERY = 10
"""Steps between the agreements of several processes on whether to stop."""


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[int], bool]]:
    """Yields `should_stop(step)`; all processes give the same answer at the same step.

    Imports nothing heavy before it listens: an interrupt within an import is lost or comes out as
    another error.
    """
    requested = False

    def request(signum: int, frame: object) -> None:
        nonlocal requested
        del frame
        requested = True
        signal.signal(signum, previous[signum])

    def should_stop(step: int) -> bool:
        import jax
        import numpy as np
        from jax.experimental import multihost_utils

        if jax.process_count() == 1:
            return requested
        if step % AGREE_EVERY:
            return False
        return bool(multihost_utils.process_allgather(np.array(requested)).any())

    signals = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, request) for number in signals}
    try:
        yield should_stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
