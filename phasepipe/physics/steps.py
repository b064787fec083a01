"""Accepted steps of an integrator, as input of the records."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.arrays import Vectors, arrays_of

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class Steps(NamedTuple):
    """Accepted steps, one row each, in ascending order of ``run``, with the velocities at both ends."""

    run: Int
    time: Float
    step: Float
    point: Vectors
    velocity: Vectors
    next_point: Vectors
    next_velocity: Vectors

    def select(self, mask: NDArray[np.bool_]) -> Steps:
        """The steps of the rows selected by ``mask``."""
        here = arrays_of(self.point).index(mask)
        return Steps(
            self.run[mask],
            self.time[mask],
            self.step[mask],
            self.point[here],
            self.velocity[here],
            self.next_point[here],
            self.next_velocity[here],
        )

    def interpolate(self, rows: Int, fractions: Float) -> Vectors:
        """Points on the sphere at ``time + fraction * step`` of the given rows, by cubic Hermite polynomials.

        The interpolant is of third order, one above the integrator, so it adds no error to a record.
        """
        x, step = fractions, self.step[rows]
        weights = (
            (1 + 2 * x) * (1 - x) ** 2,
            x * (1 - x) ** 2 * step,
            x**2 * (3 - 2 * x),
            x**2 * (x - 1) * step,
        )
        arrays = arrays_of(self.point)
        here = arrays.index(rows)
        ends = (self.point, self.velocity, self.next_point, self.next_velocity)
        return arrays.to_sphere(arrays.mixture(weights, [part[here] for part in ends]))
