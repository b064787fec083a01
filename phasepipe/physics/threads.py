"""Limit BLAS to one thread, so that results do not depend on the number of threads.

With several threads a BLAS divides products differently and sums in another order. Workers have one thread
each, while a notebook usually has one per core; both must compute the same bits. The loss of speed is small,
because the products of a flow are too small for several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import scipy.linalg  # noqa: F401  its BLAS must be loaded before the controller looks for libraries
from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Context manager and decorator that limits BLAS to one thread in this process."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
