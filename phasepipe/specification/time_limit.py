"""A time limit for code of the user, on systems with interval timers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


class TooSlow(BaseException):
    """The time limit was exceeded; not an Exception, which the interrupted code might catch."""


@contextmanager
def time_limit(processor: float, clock: float) -> Iterator[None]:
    """Interrupt the block after ``processor`` seconds of processor time or ``clock`` seconds of real time.

    Signals reach only the main thread. In other threads, such as the tasks of a Dask worker, and on systems
    without interval timers there is no limit.

    Raises
    ------
    TooSlow
        When the limit is exceeded.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_alarm(signal.ITIMER_PROF, signal.SIGPROF, processor, "processor time"))
        stack.enter_context(_alarm(signal.ITIMER_REAL, signal.SIGALRM, clock, "time"))
        yield


@contextmanager
def _alarm(timer: int, number: signal.Signals, seconds: float, what: str) -> Iterator[None]:
    def over(_number: int, _frame: FrameType | None) -> None:
        raise TooSlow(f"took more than {seconds:g} s of {what}")

    handler = signal.signal(number, over)
    left, interval = signal.setitimer(timer, seconds)  # remember a timer that was set before
    try:
        yield
    finally:
        signal.setitimer(timer, left, interval)
        signal.signal(number, handler)
