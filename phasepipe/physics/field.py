"""Riemannian gradient of many runs on several instances at once (PHYSICS §3).

Runs are rows. All runs of one instance share its sensing matrix, so a batch costs two matrix products
per instance; rows must be ordered by instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phasepipe.physics.losses import Array, Loss
from phasepipe.physics.problem import Problem
from phasepipe.physics.sphere import row_products

# Elementwise work on the predictions is done in pieces of about this many numbers, so that its
# temporaries stay in the second-level cache of a core.
_PIECE = 32_768


class Observation(NamedTuple):
    """What is measured at a set of points; one row each.

    ``loss`` is per dimension (L / N), ``gradient_norm`` is ``|g| / sqrt(N)``, ``mu`` the Lagrange
    multiplier; ``predictions`` are ``yhat``, shape (rows, M).
    """

    loss: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    mu: NDArray[np.float64]
    predictions: Array


class GradientField:
    """Velocity ``-g`` of gradient flow for runs on instances of equal shape.

    Parameters
    ----------
    problems
        Instances with the same N and M.
    loss
        Loss of PHYSICS §2 or the user's own.
    owner
        Instance (position in ``problems``) of every run, shape (runs,), in ascending order.
    dtype
        float32 or float64: the arithmetic of the whole flow.
    """

    def __init__(
        self, problems: Sequence[Problem], loss: Loss, owner: NDArray[np.intp], dtype: DTypeLike
    ) -> None:
        self.problems = problems
        self.loss = loss
        self.owner = owner
        self.dtype = np.dtype(dtype)
        self.N = problems[0].N
        self.M = problems[0].M
        self._sensing = [np.asarray(problem.sensing, self.dtype) for problem in problems]
        # BLAS multiplies a few rows by a contiguous transpose two to four times faster than by a view of one
        self._transposed = [np.ascontiguousarray(sensing.T) for sensing in self._sensing]
        self._labels = [np.asarray(problem.labels, self.dtype) for problem in problems]
        self._root_N = float(np.sqrt(self.N))  # a Python float keeps float32 arrays float32

    def segments(self, runs: NDArray[np.intp]) -> Iterator[tuple[int, slice]]:
        """Instances met in ``runs`` (ascending) with the rows that belong to each."""
        owners = self.owner[runs]
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        stops = np.append(starts[1:], len(runs))
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            yield int(owners[start]), slice(start, stop)

    def _pieces(self, rows: int) -> Iterator[slice]:
        height = max(1, _PIECE // self.M)
        for first in range(0, rows, height):
            yield slice(first, min(first + height, rows))

    def __call__(self, points: Array, runs: NDArray[np.intp]) -> Array:
        """Velocity at ``points``, shape (rows, N), of the runs numbered ``runs`` (ascending)."""
        gradient = np.empty_like(points)
        for instance, rows in self.segments(runs):
            predictions = points[rows] @ self._transposed[instance]
            predictions /= self._root_N
            labels = self._labels[instance]
            for piece in self._pieces(len(predictions)):
                predictions[piece] = self.loss.slope(predictions[piece], labels)
            np.matmul(predictions, self._sensing[instance], out=gradient[rows])
        gradient /= self._root_N
        return self._tangent_velocity(points, gradient)

    def _tangent_velocity(self, points: Array, gradient: Array) -> Array:
        # mu with |w|^2 in place of N keeps the norm constant also at the integrator's inner stages
        mu = row_products(points, gradient) / row_products(points, points)
        velocity: Array = mu[:, None] * points
        velocity -= gradient
        return velocity

    def observe(self, points: Array, runs: NDArray[np.intp]) -> Observation:
        """Measure loss, gradient norm and multiplier at ``points`` of ``runs`` (ascending)."""
        predictions = np.empty((len(points), self.M), self.dtype)
        gradient = np.empty_like(points)
        loss = np.empty(len(points))
        for instance, rows in self.segments(runs):
            np.matmul(points[rows], self._transposed[instance], out=predictions[rows])
            predictions[rows] /= self._root_N
            labels = self._labels[instance]
            loss[rows] = self.loss.value(predictions[rows], labels).sum(axis=1, dtype=np.float64)
            np.matmul(self.loss.slope(predictions[rows], labels), self._sensing[instance], out=gradient[rows])
        gradient /= self._root_N
        mu = row_products(points, gradient) / self.N
        velocity = self._tangent_velocity(points, gradient)
        norm = np.sqrt(row_products(velocity, velocity).astype(np.float64) / self.N)
        return Observation(loss / self.N, norm, mu.astype(np.float64), predictions)
