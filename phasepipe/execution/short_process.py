"""Settings of processes that run one job: when Python looks for garbage, and how many threads BLAS uses."""

from __future__ import annotations

import gc
import os

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
