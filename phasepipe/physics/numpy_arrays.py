"""Operations of :class:`phasepipe.physics.arrays.Arrays` on NumPy arrays, with compiled loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phasepipe.physics import kernels
from phasepipe.physics.arrays import Segments
from phasepipe.physics.losses import Array, Loss
from phasepipe.physics.problem import Problem

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class NumpyArrays:
    """Operations on rows of NumPy arrays."""

    empty_like = staticmethod(np.empty_like)
    zeros_like = staticmethod(np.zeros_like)
    concatenate = staticmethod(np.concatenate)
    to_sphere = staticmethod(kernels.to_sphere)

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

    def row_products(self, left: Array, right: Array) -> Array:
        """Scalar product of each row of ``left`` with the same row of ``right``; shape (rows,)."""
        return kernels.projections(left, right, np.arange(len(left)))

    def projections(self, points: Array, vectors: Array, places: Int) -> Array:
        """Scalar products of each row of ``points`` with row ``places`` of ``vectors``; shape (rows,)."""
        return kernels.projections(points, vectors, places)

    def to_velocity(self, points: Array, gradient: Array, scale: float) -> None:
        """Replace each row of ``gradient`` by its part orthogonal to that of ``points``, times ``scale``."""
        kernels.to_velocity(points, gradient, points.dtype.type(scale))

    def displace(self, rows: Int, points: Array, directions: Array, size: float, out: Array) -> None:
        """Displaced ``points``, see :class:`phasepipe.physics.arrays.Arrays`."""
        kernels.displace(rows, points, directions, points.dtype.type(size), out)

    def move(self, rows: Int, weights: Float, points: Array, velocity: Array, out: Array) -> None:
        """Write these rows of ``points`` plus ``weights`` times ``velocity`` into ``out``."""
        kernels.move(rows, weights.astype(out.dtype), points, velocity, out)

    def changes(self, rows: Int, found: Array, velocity: Array, out: Array) -> Float:
        """Write ``found - velocity`` into these rows of ``out``; return their norms."""
        return kernels.changes(rows, found, velocity, out)

    def step_errors(
        self, step: Float, point: Array, velocity: Array, next_point: Array, next_velocity: Array
    ) -> Float:
        """Norms of the estimated errors of steps."""
        return kernels.step_errors(step.astype(point.dtype), point, velocity, next_point, next_velocity)

    def mixture(self, rows: Int, weights: Float, vectors: Sequence[Array]) -> Array:
        """Sums of these rows of four ``vectors`` with ``weights``, (4, len(rows))."""
        return kernels.mixture(rows, weights, *vectors)

    def recur(self, rows: Int, out: Array, weights: Float, others: Sequence[Array]) -> None:
        """Replace these rows of ``out`` by a sum with ``others``, with weights (5, rows)."""
        kernels.recur(rows, out, weights, *others)

    def instances(self, problems: Sequence[Problem], loss: Loss, dtype: DTypeLike) -> NumpyInstances:
        """The instances with their loss."""
        return NumpyInstances(problems, loss, np.dtype(dtype))


class NumpyInstances:
    """Sensing matrices in panels, labels, and scratch memory for their products."""

    def __init__(self, problems: Sequence[Problem], loss: Loss, dtype: np.dtype[Any]) -> None:
        self._loss = loss
        M, N = self._M, _ = problems[0].sensing.shape
        root_N = float(np.sqrt(N))  # a Python float keeps float32 arrays float32
        across = kernels.columns(dtype)
        self._sensing = np.zeros((len(problems), -(-N // across), M, across), dtype)
        self._transposed = np.zeros((len(problems), -(-M // across), N, across), dtype)
        for number, problem in enumerate(problems):
            sensing = np.asarray(problem.sensing, dtype)
            kernels.pack(sensing, self._sensing[number])
            # X^T / sqrt(N) saves a pass over the predictions of every evaluation
            kernels.pack(sensing.T / root_N, self._transposed[number])
        self._labels = np.stack([np.asarray(problem.labels, dtype) for problem in problems])
        weight = getattr(loss, "quartic_weight", None)
        self._weights: Array | None = None if weight is None else weight(self._labels)
        self._squares = self._labels * self._labels
        # new memory costs a page fault per 4 kB, so the predictions of all instances reuse this array
        self._predictions = np.empty((kernels.ROWS, across * self._transposed.shape[1]), dtype)
        self._tail = np.empty((kernels.ROWS, across), dtype)

    def gradient(self, segments: Segments, points: Array, out: Array) -> None:
        """Write ``sqrt(N)`` times the gradient at ``points`` into ``out``, both (rows, N)."""
        if self._weights is None:
            for instance, rows in segments:
                self._through_numpy(instance, points[rows], out[rows])
            return
        kernels.gradients(
            points, segments.instance, segments.first, segments.last, self._transposed, self._sensing,
            self._squares, self._weights, self._predictions, self._tail, out,
        )  # fmt: skip

    def _through_numpy(self, instance: int, points: Array, out: Array) -> None:
        """The gradient of any loss at points of one instance."""
        for rows in _pieces(len(points)):
            predictions = np.empty((len(points[rows]), self._M), points.dtype)
            self._predict(instance, points[rows], predictions)
            self._to_gradient(instance, predictions, out[rows])

    def _predict(self, instance: int, points: Array, out: Array) -> None:
        kernels.multiply(points, points.shape[1], self._transposed[instance], out, self._tail)

    def _to_gradient(self, instance: int, predictions: Array, out: Array) -> None:
        slopes = np.ascontiguousarray(self._loss.slope(predictions, self._labels[instance]), out.dtype)
        kernels.multiply(slopes, self._M, self._sensing[instance], out, self._tail)

    def measure(self, instance: int, points: Array, out: Array, predictions: Array) -> Float:
        """As :meth:`gradient` for one instance; writes ``predictions`` (rows, M), returns losses (rows,)."""
        losses = np.empty(len(points))
        for rows in _pieces(len(points)):
            found = predictions[rows]
            self._predict(instance, points[rows], found)
            values = self._loss.value(found, self._labels[instance])
            # cast first: a sum that casts is split by NumPy's buffer, which does not respect the ends of rows
            losses[rows] = values.astype(np.float64).sum(axis=1)
            self._to_gradient(instance, found, out[rows])
        return losses


def _pieces(rows: int) -> Iterator[slice]:
    """Slices of as many rows as are evaluated together."""
    for first in range(0, rows, kernels.ROWS):
        yield slice(first, first + kernels.ROWS)
