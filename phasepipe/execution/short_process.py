"""Begin and end of processes that run one job: looking for garbage, threads of BLAS, and leaving at once."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

# Several threads slow the small products of a job down, wait for each other at full load, and sum in another
# order.
ONE_BLAS_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def begin_job() -> None:
    """Prepare this process for one job of the workflow; call it before anything imports NumPy.

    Two waiting threads of BLAS took a third of the processor time of a small job.
    """
    os.environ |= ONE_BLAS_THREAD
    collect_rarely()


def collect_rarely() -> None:
    """Search for reference cycles only after 100,000 new objects instead of 700; call it before importing.

    A short process makes few cycles but hundreds of thousands of objects that stay, modules and figures above
    all. Searching them again and again took a quarter of its time.
    """
    gc.set_threshold(100_000, 20, 100)


def end_job() -> NoReturn:
    """End this process, whose job has succeeded, without taking its modules apart, which takes 0.4 s."""
    atexit._run_exitfuncs()  # as at every end; those of logging and multiprocessing are among them
    with suppress(OSError):  # nobody reads what it says
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)
