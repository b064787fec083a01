"""Riemannian gradient of many runs on several instances at once (PHYSICS §3).

Runs are rows. All runs of one instance share its sensing matrix, so a batch costs two matrix products
per instance; rows must be ordered by instance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phasepipe.physics.losses import Array, Loss, slope_kernel
from phasepipe.physics.panels import Panels
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
        self._root_N = float(np.sqrt(self.N))  # a Python float keeps float32 arrays float32
        sensing = [np.asarray(problem.sensing, self.dtype) for problem in problems]
        self._sensing = [Panels(matrix) for matrix in sensing]
        # X^T / sqrt(N) saves a pass over the predictions of every evaluation
        self._transposed = [Panels(matrix.T / self._root_N) for matrix in sensing]
        self._labels = [np.asarray(problem.labels, self.dtype) for problem in problems]
        self._replace_by_slope = [slope_kernel(loss, labels) for labels in self._labels]
        # fresh memory costs a page fault per 4 kB: the predictions of one instance live here
        self._most = int(np.bincount(owner).max())
        self._predictions = np.empty((self._most, self.M), self.dtype)
        sizes = [panels[0].scratch_size(self._most) for panels in (self._sensing, self._transposed)]
        self._products = np.empty(max(sizes), self.dtype)
        self._height = max(1, _PIECE // self.M)
        self._scratch = np.empty((self._height, self.M), self.dtype)

    def segments(self, runs: NDArray[np.intp]) -> Iterator[tuple[int, slice]]:
        """Instances met in ``runs`` (ascending) with the rows that belong to each."""
        owners = self.owner[runs]
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        stops = np.append(starts[1:], len(runs))
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            yield int(owners[start]), slice(start, stop)

    def _pieces(self, rows: int) -> Iterator[slice]:
        for first in range(0, rows, self._height):
            yield slice(first, min(first + self._height, rows))

    def __call__(self, points: Array, runs: NDArray[np.intp]) -> Array:
        """Velocity at ``points``, shape (rows, N), of the runs numbered ``runs`` (ascending)."""
        gradient = np.empty_like(points)
        for instance, rows in self.segments(runs):
            predictions = self._predictions[: rows.stop - rows.start]
            self._transposed[instance].multiply(points[rows], predictions, self._products)
            self._to_slopes(instance, predictions)
            self._sensing[instance].multiply(predictions, gradient[rows], self._products)
        return self._tangent_velocity(points, gradient)

    def _multiply(self, rows: Array, panels: Panels, out: Array) -> None:
        """``rows @ matrix`` for any number of rows: several records of a run may be measured together."""
        at_once = self._most if panels.cut else len(rows)
        for first in range(0, len(rows), at_once):
            piece = slice(first, first + at_once)
            panels.multiply(rows[piece], out[piece], self._products)

    def _to_slopes(self, instance: int, predictions: Array) -> None:
        replace_by_slope = self._replace_by_slope[instance]
        for piece in self._pieces(len(predictions)):
            part = predictions[piece]
            replace_by_slope(part, self._scratch[: len(part)])

    def _tangent_velocity(self, points: Array, gradient: Array) -> Array:
        """Velocity from ``sqrt(N)`` times the gradient, which it overwrites."""
        # mu with |w|^2 in place of N keeps the norm constant also at the integrator's inner stages
        mu = row_products(points, gradient) / row_products(points, points)
        gradient -= mu[:, None] * points
        gradient *= -1 / self._root_N
        return gradient

    def observe(self, points: Array, runs: NDArray[np.intp]) -> Observation:
        """Measure loss, gradient norm and multiplier at ``points`` of ``runs`` (ascending)."""
        predictions = np.empty((len(points), self.M), self.dtype)
        gradient = np.empty_like(points)
        loss = np.empty(len(points))
        for instance, rows in self.segments(runs):
            found = predictions[rows]
            self._multiply(points[rows], self._transposed[instance], found)
            values = loss[rows]
            for piece in self._pieces(len(found)):
                values[piece] = self.loss.value(found[piece], self._labels[instance]).sum(
                    axis=1, dtype=np.float64
                )
            slopes = found.copy()
            self._to_slopes(instance, slopes)
            self._multiply(slopes, self._sensing[instance], gradient[rows])
        mu = row_products(points, gradient) / (self.N * self._root_N)
        velocity = self._tangent_velocity(points, gradient)
        norm = np.sqrt(row_products(velocity, velocity).astype(np.float64) / self.N)
        return Observation(loss / self.N, norm, mu.astype(np.float64), predictions)
