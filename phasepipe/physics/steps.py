"""Accepted steps of any integrator, as the records see them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.losses import Array
from phasepipe.physics.sphere import to_sphere

Float = NDArray[np.float64]
Int = NDArray[np.intp]


class Steps(NamedTuple):
    """Accepted steps, one row each, in ascending order of ``run``; velocities are those at both ends."""

    run: Int
    time: Float
    step: Float
    point: Array
    velocity: Array
    next_point: Array
    next_velocity: Array

    def select(self, mask: NDArray[np.bool_]) -> Steps:
        """The steps of the rows in ``mask``."""
        return Steps(*(part[mask] for part in self))  # type: ignore[arg-type]

    def interpolate(self, rows: Int, fractions: Float) -> Array:
        """Points on the sphere at ``time + fraction * step`` of the given rows, cubic Hermite.

        The interpolant is of third order, one above the integrator, so it adds no error to a record.
        """
        x = fractions[:, None]
        step = self.step[rows][:, None]
        path = (
            (1 + 2 * x) * (1 - x) ** 2 * self.point[rows]
            + x * (1 - x) ** 2 * step * self.velocity[rows]
            + x**2 * (3 - 2 * x) * self.next_point[rows]
            + x**2 * (x - 1) * step * self.next_velocity[rows]
        )
        return to_sphere(path.astype(self.point.dtype))
