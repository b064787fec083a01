"""The process from which the workers of this machine are forked.

It imports once what every worker needs, 1.2 seconds of a core, and can do so while the stage still opens its
stores. A worker is then there within a tenth of a second, and ends without taking its modules apart, which
would take it another half a second. The process has one thread, so that forking it is safe. It ends with
the process that has started it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver

from phasepipe.execution.short_process import ONE_BLAS_THREAD

WORKER_ENVIRONMENT = {
    **ONE_BLAS_THREAD,
    # by default glibc returns arrays above 128 kB to the system at once, and new arrays cause page faults: a
    # third of all page faults of a worker in a short stage at N = 512, including its start
    **dict.fromkeys(("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"), str(2**25)),
}
METHOD = "forkserver" if sys.platform == "linux" else "spawn"  # system libraries of macOS do not bear a fork
# names, because the stages are a layer above this one; what cannot be imported is imported by the workers
_IMPORTED = ("distributed.nanny", "phasepipe.stages.runs")


def prepare_workers() -> None:
    """Start the process from which workers are forked, unless it runs, and do not wait for its imports."""
    if METHOD == "forkserver":
        multiprocessing.get_context(METHOD).set_forkserver_preload([*_IMPORTED])
        with environment(WORKER_ENVIRONMENT), putting_off_signals():
            forkserver.ensure_running()


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes that start meanwhile; Dask would not override the user's."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def putting_off_signals() -> Iterator[None]:
    """Start processes undisturbed: they ignore Ctrl-C, which a terminal sends to all; SIGTERM comes later.

    Dask prints a traceback when it closes a cluster whose start was interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    put_off: list[int] = []
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate = signal.signal(signal.SIGTERM, lambda number, _: put_off.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGINT, interrupt)
        if put_off:
            signal.raise_signal(signal.SIGTERM)
