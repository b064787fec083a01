"""NumPy implementation of the operations of :class:`phasepipe.physics.arrays.Arrays`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phasepipe.physics import sphere
from phasepipe.physics.losses import Array, Loss, slope_kernel
from phasepipe.physics.panels import Panels
from phasepipe.physics.problem import Problem

Float = NDArray[np.float64]
Int = NDArray[np.intp]

_PIECE = 16_384  # numbers of each array that a weighted sum processes at a time

# Elementwise work on the predictions is done in pieces of about this many numbers, so that its
# temporaries stay in the second-level cache of a core.
_PREDICTIONS_PIECE = 32_768


class NumpyArrays:
    """Operations on rows of NumPy arrays."""

    empty_like = staticmethod(np.empty_like)
    zeros_like = staticmethod(np.zeros_like)
    concatenate = staticmethod(np.concatenate)
    row_products = staticmethod(sphere.row_products)
    to_sphere = staticmethod(sphere.to_sphere)

    def send(self, values: Array) -> Array:
        """The array itself."""
        return values

    def fetch(self, vectors: Array) -> Array:
        """The array itself."""
        return vectors

    def copy(self, vectors: Array) -> Array:
        """A copy."""
        return vectors.copy()

    def index(self, rows: Int | NDArray[np.bool_]) -> Int | NDArray[np.bool_]:
        """The row numbers or mask itself."""
        return rows

    def dtype(self, vectors: Array) -> np.dtype[Any]:
        """Name of the data type."""
        return vectors.dtype

    def column(self, weights: Float, like: Array) -> Array:
        """Weights of the rows, shape (rows, 1), with the data type of ``like``."""
        return weights.astype(like.dtype)[:, None]

    def directions(self, vectors: Array, points: Array) -> Array:
        """Every row rescaled to norm 1, see :class:`phasepipe.physics.arrays.Arrays`."""
        norms = np.sqrt(sphere.row_products(vectors, vectors))
        lost = ~np.isfinite(norms) | (norms == 0)
        if lost.any():
            vectors[lost] = np.roll(points[lost], 1, axis=1)
            norms[lost] = np.sqrt(points.shape[1])
        scaled: Array = vectors / norms[:, None]
        return scaled

    def mixture(self, weights: Sequence[Float], vectors: Sequence[Array]) -> Array:
        """Weighted sum of ``vectors`` in float64, rounded to their type."""
        parts = [weight[:, None] * part for weight, part in zip(weights, vectors, strict=True)]
        total: Array = sum(parts[1:], parts[0])
        return total.astype(vectors[0].dtype)

    def scratch(self, like: Array) -> Array:
        """Scratch memory for a piece of rows."""
        return np.empty((_height(like), like.shape[1]), like.dtype)

    def accumulate(
        self, out: Array, own: Float, terms: Iterable[tuple[Float, Array]], scratch: Array
    ) -> None:
        """Replace ``out`` by the weighted sum, in pieces that stay in the cache."""
        columns = [(self.column(weights, out), vectors) for weights, vectors in terms]
        scale = self.column(own, out)
        height = _height(out)
        for first in range(0, len(out), height):
            piece = slice(first, first + height)
            total = out[piece]
            product = scratch[: len(total)]
            total *= scale[piece]
            for weights, vectors in columns:
                np.multiply(weights[piece], vectors[piece], out=product)
                total += product

    def instances(
        self, problems: Sequence[Problem], loss: Loss, dtype: DTypeLike, most: int
    ) -> NumpyInstances:
        """The instances with their loss."""
        return NumpyInstances(problems, loss, np.dtype(dtype), most)


def _height(vectors: Array) -> int:
    return max(1, _PIECE // int(vectors.shape[1]))


class NumpyInstances:
    """Sensing matrices in panels, labels, and scratch memory for their products."""

    def __init__(self, problems: Sequence[Problem], loss: Loss, dtype: np.dtype[Any], most: int) -> None:
        self._loss = loss
        self._M = problems[0].M
        root_N = float(np.sqrt(problems[0].N))  # a Python float keeps float32 arrays float32
        sensing = [np.asarray(problem.sensing, dtype) for problem in problems]
        self._sensing = [Panels(matrix) for matrix in sensing]
        # X^T / sqrt(N) saves a pass over the predictions of every evaluation
        self._transposed = [Panels(matrix.T / root_N) for matrix in sensing]
        self._labels = [np.asarray(problem.labels, dtype) for problem in problems]
        self._replace_by_slope = [slope_kernel(loss, labels) for labels in self._labels]
        # new memory costs a page fault per 4 kB, so the predictions of one instance reuse this array
        self._most = most
        self._predictions = np.empty((most, self._M), dtype)
        sizes = [panels[0].scratch_size(most) for panels in (self._sensing, self._transposed)]
        self._products = np.empty(max(sizes), dtype)
        self._height = max(1, _PREDICTIONS_PIECE // self._M)
        self._scratch = np.empty((self._height, self._M), dtype)

    def gradient(self, instance: int, points: Array, out: Array) -> None:
        """Write ``sqrt(N)`` times the gradient at ``points`` into ``out``, both (rows, N)."""
        predictions = self._predictions[: len(points)]
        self._transposed[instance].multiply(points, predictions, self._products)
        self._to_slopes(instance, predictions)
        self._sensing[instance].multiply(predictions, out, self._products)

    def measure(self, instance: int, points: Array, out: Array, predictions: Array) -> Float:
        """As :meth:`gradient` for any number of rows; writes ``predictions`` (rows, M), returns losses."""
        losses = np.empty(len(points))
        self._multiply(points, self._transposed[instance], predictions)
        for piece in self._pieces(len(points)):
            values = self._loss.value(predictions[piece], self._labels[instance])
            # cast first: a sum that casts is split by NumPy's buffer, which does not respect the ends of rows
            losses[piece] = values.astype(np.float64).sum(axis=1)
        slopes = predictions.copy()
        self._to_slopes(instance, slopes)
        self._multiply(slopes, self._sensing[instance], out)
        return losses

    def _pieces(self, rows: int) -> Iterator[slice]:
        for first in range(0, rows, self._height):
            yield slice(first, min(first + self._height, rows))

    def _multiply(self, rows: Array, panels: Panels, out: Array) -> None:
        """``rows @ matrix`` for any number of rows: several records of a run may be measured together."""
        for first in range(0, len(rows), self._most):
            piece = slice(first, first + self._most)
            panels.multiply(rows[piece], out[piece], self._products)

    def _to_slopes(self, instance: int, predictions: Array) -> None:
        replace_by_slope = self._replace_by_slope[instance]
        for piece in self._pieces(len(predictions)):
            part = predictions[piece]
            replace_by_slope(part, self._scratch[: len(part)])
