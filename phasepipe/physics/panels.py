"""Products of a few rows with a large matrix that does not change, at the speed of a square product.

A BLAS copies a matrix into an order of its own before it multiplies; with few rows that costs as much as the
product. OpenBLAS leaves it out where rows x depth x width is at most 10^6 (its small-matrix kernels). So the
matrix is cut, once, into contiguous panels of such a size, which also stay in the cache of a core while all
rows pass.
"""

from __future__ import annotations

import math

import numpy as np

from phasepipe.physics.losses import Array

_DEPTH, _WIDTH, _ROWS = 384, 64, 32  # of a panel, and of the rows that pass it at once
_LANES = 16  # float32 numbers in a register: a panel's width is a multiple
_SMALL = 2**17  # numbers of a matrix that is not worth cutting


class Panels:
    """A matrix, shape (depth, width), for products ``rows @ matrix``.

    Parameters
    ----------
    matrix
        Float32 or float64; a small one is kept as it is, if it is contiguous.
    """

    def __init__(self, matrix: Array) -> None:
        self.shape = depth, width = matrix.shape
        self._matrix: Array | None = None
        if matrix.size <= _SMALL:
            self._matrix = np.ascontiguousarray(matrix)
            return
        self._slabs: int = -(-depth // _DEPTH)
        self._columns: int = -(-width // _WIDTH)
        # as equal as can be, so that little of them is padding
        self._depth: int = -(-depth // self._slabs)
        self._width: int = _LANES * -(-width // (_LANES * self._columns))
        self._panels = np.zeros((self._slabs, self._columns, self._depth, self._width), matrix.dtype)
        for slab in range(self._slabs):
            part = matrix[slab * self._depth : (slab + 1) * self._depth]
            for column in range(self._columns):
                panel = part[:, column * self._width : (column + 1) * self._width]
                self._panels[slab, column, : panel.shape[0], : panel.shape[1]] = panel

    @property
    def cut(self) -> bool:
        """Whether the matrix was large enough to be cut; if not, no scratch is needed."""
        return self._matrix is None

    def scratch_size(self, rows: int) -> int:
        """Numbers of scratch that a product with so many rows needs."""
        if self._matrix is not None:
            return 0
        padded = math.prod(_groups(rows))
        return self._slabs * padded * (self._depth + self._columns * self._width)

    def multiply(self, rows: Array, out: Array, scratch: Array) -> None:
        """Write ``rows @ matrix`` into ``out``.

        Parameters
        ----------
        rows, out
            Shapes (rows, depth) and (rows, width).
        scratch
            At least :meth:`scratch_size` numbers, shape (size,); overwritten.
        """
        if self._matrix is not None:
            np.matmul(rows, self._matrix, out=out)
            return
        count = len(rows)
        groups, height = _groups(count)
        split = self._slabs * groups * height * self._depth
        left = scratch[:split].reshape(self._slabs, groups * height, self._depth)
        for slab in range(self._slabs):
            part = rows[:, slab * self._depth : (slab + 1) * self._depth]
            left[slab, :count, : part.shape[1]] = part
            left[slab, :, part.shape[1] :] = 0
        left[:, count:] = 0
        shape = self._slabs, self._columns, groups, height, self._width
        products = scratch[split : split + math.prod(shape)].reshape(shape)
        np.matmul(left.reshape(self._slabs, 1, groups, height, -1), self._panels[:, :, None], out=products)
        self._join(products.reshape(*shape[:2], groups * height, self._width)[:, :, :count], out)

    def _join(self, products: Array, out: Array) -> None:
        """Add up slabs, shape (slabs, columns, rows, width), beside each other."""
        whole = self.shape[1] // self._width
        joined = out[:, : whole * self._width].reshape(len(out), whole, self._width).transpose(1, 0, 2)
        np.add.reduce(products[:, :whole], axis=0, out=joined)
        if whole < self._columns:
            rest = self.shape[1] - whole * self._width
            np.add.reduce(products[:, whole, :, :rest], axis=0, out=out[:, whole * self._width :])


def _groups(rows: int) -> tuple[int, int]:
    """Groups that rows pass a panel in, and rows of each."""
    groups = -(-rows // _ROWS)
    return groups, -(-rows // groups)
