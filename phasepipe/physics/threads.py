"""One BLAS thread where bits must not depend on how many there are.

With more threads a BLAS cuts a product otherwise, and adds in another order. Workers have one thread each,
a notebook usually has one per core; both have to find the same numbers. Little is lost: the products of a
flow are too small to be shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import scipy.linalg  # noqa: F401  its BLAS must be loaded before the controller looks for libraries
from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread in this process meanwhile; also a decorator."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
