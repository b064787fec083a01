"""How large sensing matrices may be that are integrated together: those that stay in the caches, measured.

When few runs of an instance are left, an evaluation takes as long as reading its matrix. If the matrices do
not stay in the caches, that takes two to three times as long. How many stay depends on the processor and on
what else runs on it: the processes of a sweep share its last cache.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

import numpy as np

from phasepipe.physics import kernels

_ROWS, _DEPTH, _WIDTH = 2, 256, 768  # few rows, so that reading the matrix, 0.8 MB, takes the time
_MATRICES = (2, 4, 6, 8, 12, 16, 20, 24, 32, 48)
_COPIES = 2  # of a sensing matrix, one for each of the products of an evaluation
_PRODUCTS = 128  # at least, of every number of matrices: a short disturbance must not slow all passes down
_SLOWER = 1.15  # than the fastest: matrices are no longer read from the caches
_SHARE = 0.75  # of the bytes that fit; the vectors of the runs are in the caches too


@cache
def cached_bytes() -> int:
    """Bytes of sensing matrices to integrate together, 0.6 to 14 MB; it takes 25 ms, once in a process."""
    columns = kernels.columns(np.dtype(np.float32))
    panels = np.ones((_MATRICES[-1], _WIDTH // columns, _DEPTH, columns), np.float32)
    rows, tail = np.ones((_ROWS, _DEPTH), np.float32), np.empty((_ROWS, columns), np.float32)
    out = np.empty((_ROWS, _WIDTH), np.float32)

    def seconds(matrices: int) -> float:
        """Of one product, when so many matrices take turns."""
        found = []
        for _ in range(2 + _PRODUCTS // matrices):  # the first fills the caches
            begin = time.perf_counter()
            for panel in panels[:matrices]:
                kernels.multiply(rows, _DEPTH, panel, out, tail)
            found.append(time.perf_counter() - begin)
        return min(found[1:]) / matrices

    matrices = fitting([seconds(number) for number in _MATRICES])
    return int(_SHARE * matrices * panels[0].nbytes / _COPIES)


def fitting(seconds: Sequence[float]) -> int:
    """The largest of ``_MATRICES`` up to which a product takes as long as with fewer; at least the first."""
    fastest, last = seconds[0], _MATRICES[0]
    for matrices, taken in zip(_MATRICES, seconds, strict=True):
        fastest = min(fastest, taken)
        if taken > _SLOWER * fastest:
            break
        last = matrices
    return last
