"""Accepted steps of an integrator, as input of the records."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.arrays import Vectors, arrays_of
from phasepipe.physics.compiled import compiled

Float = NDArray[np.float64]
Int = NDArray[np.intp]


_SAME_TIME = 1e-12  # relative difference of sums of learning rates from the time that they stand for


def reached(times: Float, limit: float) -> NDArray[np.bool_]:
    """Which of ``times`` are equal to ``limit`` within rounding, or later."""
    return times >= limit * (1 - _SAME_TIME)


def records_passed(record_times: Float, times: Float) -> Int:
    """Number of records that have been taken by each of ``times``."""
    return np.searchsorted(record_times, times * (1 + _SAME_TIME), side="right")


class Steps(NamedTuple):
    """Accepted steps, one row each, in ascending order of ``run``, with the velocities at both ends."""

    run: Int
    time: Float
    step: Float
    point: Vectors
    velocity: Vectors
    next_point: Vectors
    next_velocity: Vectors

    def select(self, mask: NDArray[np.bool_] | Int) -> Steps:
        """The steps of the rows selected by a mask, or by numbers."""
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
        ends = (self.point, self.velocity, self.next_point, self.next_velocity)
        points = arrays.mixture(rows, np.stack(weights), ends)
        arrays.to_sphere(points, np.arange(len(rows)))
        return points


@compiled
def first_crossings(
    start: Float, end: Float, slope_at_start: Float, slope_at_end: Float, level: float
) -> Float:
    """Smallest positions in [0, 1] at which cubics reach ``level``, shape (steps,).

    A cubic is given by its values, below and not below the level, and its slopes at 0 and 1.
    """
    found = np.empty(len(start))
    nodes = np.empty(3)
    for step in range(len(start)):
        a, b = start[step] - level, slope_at_start[step]
        rise = end[step] - start[step]
        c, d = 3 * rise - 2 * b - slope_at_end[step], b + slope_at_end[step] - 2 * rise
        # between its extrema, where b + 2 c x + 3 d x² = 0, a cubic is monotone
        nodes[:] = 1.0
        square = c * c - 3 * b * d
        if square > 0:
            root = -(c + np.copysign(np.sqrt(square), c))
            for place, numerator, denominator in ((0, b, root), (1, root, 3 * d)):
                if denominator != 0 and 0 < numerator / denominator < 1:
                    nodes[place] = numerator / denominator
            nodes.sort()
        low, high = 0.0, 1.0
        for node in nodes:
            if a + node * (b + node * (c + node * d)) >= 0:
                high = node
                break
            low = node
        for _ in range(60):
            middle = (low + high) / 2
            if a + middle * (b + middle * (c + middle * d)) >= 0:
                high = middle
            else:
                low = middle
        found[step] = high
    return found
