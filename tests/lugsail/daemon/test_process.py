import asyncio
import logging
import os
import signal

import pytest

from lugsail.daemon.process import run_until_stopped

LOG = logging.getLogger("a service")


class CannotStart(Exception):
    pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_it_to_stop(number):
    async def serve(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)

    assert run_until_stopped(serve, (CannotStart,), LOG) == 0


def test_what_keeps_it_from_starting_is_said(caplog):
    async def serve(stop: asyncio.Event) -> None:
        raise CannotStart("port 1 is in use")

    with caplog.at_level(logging.ERROR):
        assert run_until_stopped(serve, (CannotStart,), LOG) == 1
    assert caplog.record_tuples == [("a service", logging.ERROR, "cannot start: port 1 is in use")]


def test_other_errors_are_not_hidden():
    async def serve(stop: asyncio.Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_until_stopped(serve, (CannotStart,), LOG)
