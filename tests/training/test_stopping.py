"""What SIGTERM and Ctrl-C do while training."""

import signal

import pytest

from vit_sentiment.training.stopping import stop_requests

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_to_stop_and_does_nothing_else(number):
    with stop_requests() as should_stop:
        assert not should_stop(1)
        signal.raise_signal(number)
        assert should_stop(2)
        assert should_stop(3)


@pytest.fixture
def python_listens():
    """Python's own answer to Ctrl-C; a shell starts what it runs in the background without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_listens")
def test_a_second_ctrl_c_interrupts_at_once():
    with stop_requests() as should_stop:
        signal.raise_signal(signal.SIGINT)
        assert should_stop(1)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_are_put_back(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with stop_requests():
        assert [signal.getsignal(each) for each in SIGNALS] != before
        signal.raise_signal(number)
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_handlers_are_put_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), stop_requests():
        1 / 0
    assert signal.getsignal(signal.SIGTERM) == before
