"""Riemannian gradient of many runs on several instances at once (docs/explanation/physics.md §3).

Runs are rows. All runs of one instance share its sensing matrix, so a batch costs two matrix products
per instance; rows must be ordered by instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phasepipe.physics.arrays import Segments, Vectors, arrays_on
from phasepipe.physics.losses import Array, Loss
from phasepipe.physics.problem import Problem


class Observation(NamedTuple):
    """Quantities measured at a set of points, one row each.

    ``loss`` is per dimension (L / N), ``gradient_norm`` is ``|g| / sqrt(N)``, ``mu`` the Lagrange
    multiplier; ``predictions`` are ``yhat``, shape (rows, M). All are on the host, wherever the points are.
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
        Loss of docs/explanation/physics.md §2 or a custom loss.
    owner
        Instance (position in ``problems``) of every run, shape (runs,), in ascending order.
    dtype
        float32 or float64: precision of the flow.
    device
        Device of points and products, see :func:`phasepipe.physics.arrays.require_device`.

    Raises
    ------
    TypeError
        If the loss cannot be evaluated on the device.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        loss: Loss,
        owner: NDArray[np.intp],
        dtype: DTypeLike,
        device: str = "cpu",
    ) -> None:
        self.problems = problems
        self.loss = loss
        self.owner = owner
        self.dtype = np.dtype(dtype)
        self.N = problems[0].N
        self.M = problems[0].M
        self._root_N = float(np.sqrt(self.N))  # a Python float keeps float32 arrays float32
        self._segments = Segments.of(owner[:0])
        self._segments_of: NDArray[np.intp] | None = None
        self.arrays = arrays_on(device)
        self._instances = self.arrays.instances(problems, loss, self.dtype)

    def segments(self, runs: NDArray[np.intp]) -> Segments:
        """The rows of each instance among ``runs`` (ascending)."""
        if runs is not self._segments_of:  # the integrator passes the same array until a run ends
            self._segments = Segments.of(self.owner[runs])
            self._segments_of = runs
        return self._segments

    def __call__(self, points: Vectors, runs: NDArray[np.intp]) -> Vectors:
        """Velocity at ``points``, shape (rows, N), of the runs numbered ``runs`` (ascending)."""
        velocity = self.arrays.empty_like(points)
        self._instances.gradient(self.segments(runs), points, velocity)
        self.arrays.to_velocity(points, velocity, -1 / self._root_N)
        return velocity

    def observe(self, points: Vectors, runs: NDArray[np.intp]) -> Observation:
        """Measure loss, gradient norm and multiplier at ``points`` of ``runs`` (ascending)."""
        gradient = self.arrays.empty_like(points)
        predictions = np.empty((len(points), self.M), self.dtype)
        loss = np.empty(len(points))
        for instance, rows in self.segments(runs):
            loss[rows] = self._instances.measure(instance, points[rows], gradient[rows], predictions[rows])
        mu = self.products(points, gradient) / (self.N * self._root_N)
        self.arrays.to_velocity(points, gradient, -1 / self._root_N)
        norm = np.sqrt(self.products(gradient, gradient).astype(np.float64) / self.N)
        return Observation(loss / self.N, norm, mu.astype(np.float64), predictions)

    def products(self, left: Vectors, right: Vectors) -> Array:
        """Scalar product of each row of ``left`` with that of ``right``, on the host; shape (rows,)."""
        return self.arrays.fetch(self.arrays.row_products(left, right))
