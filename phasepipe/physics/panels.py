"""Products of rows with a matrix that does not change; the result of a row does not depend on the others.

A BLAS picks its kernel by the number of rows, and kernels differ in the order in which they add: a row that
is multiplied alone, or as one of twelve, has other last bits than as one of sixteen. Here every product that
the BLAS sees has the same number of rows, the last ones padded with zeros. It is eight, because then all
places in a group gave the same bits on every kind of processor that OpenBLAS was asked to imitate; with
twelve and more they did not. ``tests/physics/test_bits.py`` tries it.

A BLAS also copies a matrix into an order of its own before it multiplies, which costs as much as a product
with few rows. OpenBLAS leaves it out for AVX-512 where rows x depth x width is at most 10^6 (its
small-matrix kernels). So a large matrix is cut, once, into contiguous panels, which also stay in the cache
of a core while all rows pass.
"""

from __future__ import annotations

import math

import numpy as np

from phasepipe.physics.losses import Array

ROWS = 8  # of every product, see above
_DEPTH, _WIDTH = 384, 64  # of a panel
_LANES = 16  # float32 numbers in a register: a panel's width is a multiple
_SMALL = 2**17  # numbers of a matrix that is not worth cutting


def padded(rows: int) -> int:
    """``rows`` rounded up to whole groups."""
    return -(-rows // ROWS) * ROWS


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

    def scratch_size(self, rows: int) -> int:
        """Numbers of scratch that a product with so many rows needs."""
        if self._matrix is not None:
            return padded(rows) * sum(self.shape)
        return self._slabs * padded(rows) * (self._depth + self._columns * self._width)

    def multiply(self, rows: Array, out: Array, scratch: Array) -> None:
        """Write ``rows @ matrix`` into ``out``.

        Parameters
        ----------
        rows, out
            Shapes (rows, depth) and (rows, width).
        scratch
            At least :meth:`scratch_size` numbers, shape (size,); overwritten.
        """
        if self._matrix is None:
            self._multiply_panels(rows, out, scratch)
        else:
            self._multiply_whole(self._matrix, rows, out, scratch)

    def _multiply_whole(self, matrix: Array, rows: Array, out: Array, scratch: Array) -> None:
        count, height = len(rows), padded(len(rows))
        depth, width = self.shape
        left, products = rows, out
        if height > count:
            left = scratch[: height * depth].reshape(height, depth)
            left[:count] = rows
            left[count:] = 0
            products = scratch[height * depth : height * (depth + width)].reshape(height, width)
        np.matmul(left.reshape(-1, ROWS, depth), matrix, out=products.reshape(-1, ROWS, width))
        if height > count:
            out[:] = products[:count]

    def _multiply_panels(self, rows: Array, out: Array, scratch: Array) -> None:
        count, height = len(rows), padded(len(rows))
        split = self._slabs * height * self._depth
        left = scratch[:split].reshape(self._slabs, height, self._depth)
        for slab in range(self._slabs):
            part = rows[:, slab * self._depth : (slab + 1) * self._depth]
            left[slab, :count, : part.shape[1]] = part
            left[slab, :, part.shape[1] :] = 0
        left[:, count:] = 0
        shape = self._slabs, self._columns, height // ROWS, ROWS, self._width
        products = scratch[split : split + math.prod(shape)].reshape(shape)
        groups = left.reshape(self._slabs, 1, height // ROWS, ROWS, self._depth)
        np.matmul(groups, self._panels[:, :, None], out=products)
        self._join(products.reshape(self._slabs, self._columns, height, self._width)[:, :, :count], out)

    def _join(self, products: Array, out: Array) -> None:
        """Add up slabs, shape (slabs, columns, rows, width), beside each other."""
        whole = self.shape[1] // self._width
        joined = out[:, : whole * self._width].reshape(len(out), whole, self._width).transpose(1, 0, 2)
        np.add.reduce(products[:, :whole], axis=0, out=joined)
        if whole < self._columns:
            rest = self.shape[1] - whole * self._width
            np.add.reduce(products[:, whole, :, :rest], axis=0, out=out[:, whole * self._width :])
