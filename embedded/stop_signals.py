"""Ctrl-C, SIGTERM and hang-up as one exception, also in a program that was started with one of them ignored."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """A signal to stop has come. It is no Exception, so that no handler takes it for a failure."""


@contextmanager
def stop_requested_by_signals() -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or hang-up raises StopRequested in the main thread; later ones are ignored."""

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise StopRequested

    before = {number: signal.signal(number, request_stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
