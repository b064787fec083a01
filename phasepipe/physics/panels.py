"""Products of rows with a fixed matrix, where the result of a row does not depend on the other rows.

A BLAS chooses its kernel by the number of rows, and kernels differ in the order of summation: a row that is
multiplied alone, or as one of twelve, differs in the last bits from the same row as one of sixteen. Therefore
every product passed to the BLAS has the same number of rows, padded with zeros. This number is eight, because
then all positions in a group gave the same bits for every processor type that OpenBLAS can emulate; with
twelve and more they did not. ``tests/physics/test_bits.py`` checks this.

A BLAS also copies ("packs") a matrix before it multiplies, which costs as much as a product with few rows.
With AVX-512, OpenBLAS skips this if rows x depth x width is at most 10^6 (its small-matrix kernels). A large
matrix is therefore divided once into contiguous panels, which also stay in the cache of a core while they
are multiplied with all rows.
"""

from __future__ import annotations

import math

import numpy as np

from phasepipe.physics.losses import Array

ROWS = 8  # of every product, see above
_DEPTH, _WIDTH = 384, 64  # largest shape of a panel
_LANES = 16  # float32 numbers in a register; the width of a panel is a multiple of this
_SMALL = 2**17  # matrices with fewer entries are not divided


def padded(rows: int) -> int:
    """``rows`` rounded up to a multiple of the group size."""
    return -(-rows // ROWS) * ROWS


class Panels:
    """A matrix, shape (depth, width), for products ``rows @ matrix``.

    Parameters
    ----------
    matrix
        Float32 or float64; a small contiguous matrix is used unchanged.
    """

    def __init__(self, matrix: Array) -> None:
        self.shape = depth, width = matrix.shape
        self._matrix: Array | None = None
        if matrix.size <= _SMALL:
            self._matrix = np.ascontiguousarray(matrix)
            return
        self._slabs: int = -(-depth // _DEPTH)
        self._columns: int = -(-width // _WIDTH)
        # panels of nearly equal size need little padding
        self._depth: int = -(-depth // self._slabs)
        self._width: int = _LANES * -(-width // (_LANES * self._columns))
        self._panels = np.zeros((self._slabs, self._columns, self._depth, self._width), matrix.dtype)
        for slab in range(self._slabs):
            part = matrix[slab * self._depth : (slab + 1) * self._depth]
            for column in range(self._columns):
                panel = part[:, column * self._width : (column + 1) * self._width]
                self._panels[slab, column, : panel.shape[0], : panel.shape[1]] = panel

    def scratch_size(self, rows: int) -> int:
        """Size of the scratch array for a product with this number of rows."""
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
        """Sum over slabs, shape (slabs, columns, rows, width), and place the columns next to each other."""
        whole = self.shape[1] // self._width
        joined = out[:, : whole * self._width].reshape(len(out), whole, self._width).transpose(1, 0, 2)
        np.add.reduce(products[:, :whole], axis=0, out=joined)
        if whole < self._columns:
            rest = self.shape[1] - whole * self._width
            np.add.reduce(products[:, whole, :, :rest], axis=0, out=out[:, whole * self._width :])
