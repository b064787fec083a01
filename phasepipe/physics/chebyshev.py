"""Batched Runge-Kutta-Chebyshev integrator of second order for stiff gradient flow on the sphere.

Sommeijer, Shampine, Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput. Appl. Math. 88
(1998) 315. A step with s stages is stable for ``step * spectral radius`` up to about 0.62 s², so the
cost of stiffness grows only with its square root.

Every row of the batch has its own time, step size, number of stages and spectral radius, and stands
at its own stage: one call of :meth:`ChebyshevIntegrator.advance` evaluates the velocity once for all
rows and moves each of them to its next evaluation. So the matrix products are always as wide as the
number of live rows, and the path of a row does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.losses import Array
from phasepipe.physics.recurrence import LARGEST_STIFFNESS, MAX_STAGES, coefficients, stages_needed
from phasepipe.physics.sphere import row_products, to_sphere
from phasepipe.physics.steps import Steps

Velocity = Callable[[Array, NDArray[np.intp]], Array]
Float = NDArray[np.float64]
Int = NDArray[np.intp]

_RADIUS_SAFETY = 1.1  # the power method approaches the spectral radius from below
_RADIUS_LIFETIME = 5  # accepted steps until a new estimate: an old, too large radius costs stages
_RADIUS_MATTERS = 3  # stages below which an overestimated radius costs nothing
_POWER_ITERATIONS_FIRST = 12
_POWER_ITERATIONS_AGAIN = 2
_PIECE = 16_384  # numbers of each array that the recurrence works on at a time
_SMALLEST_STEP = 1e-12  # relative to t_max; a row that needs smaller steps has diverged


class _Phase(IntEnum):
    """What the pending evaluation of a row is for."""

    FIRST = 0  # velocity at the start
    RADIUS = 1  # an iteration of the power method
    STAGE = 2  # a stage, or the end, of a step


@dataclass
class _Rows:
    """State of the live rows, a structure of arrays that are compressed together."""

    run: Int
    phase: Int
    time: Float
    step: Float
    stages: Int
    stage: Int
    radius: Float
    radius_age: Int
    power_iterations: Int
    power_estimate: Float
    previous_step: Float  # of the last accepted step; 0 before the first
    previous_error: Float
    rejected_before: NDArray[np.bool_]
    point: Array
    velocity: Array
    iterate: Array  # where the velocity is evaluated next
    iterate_before: Array
    power_vector: Array

    def keep(self, mask: NDArray[np.bool_]) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[mask])


class ChebyshevIntegrator:
    """Integrates ``dw/dt = velocity(w)`` on the sphere for many rows, each with its own step size.

    Parameters
    ----------
    velocity
        Function of points, shape (rows, N), and their run numbers, shape (rows,).
    points
        Starts, shape (runs, N), on the sphere.
    t_max
        End of the integration.
    relative_tolerance
        Bound on the estimated error of a step, relative to ``|w| = sqrt(N)``.

    Attributes
    ----------
    evaluations, accepted, rejected
        Velocity evaluations, accepted and rejected steps of every run so far, shape (runs,).
    diverged
        Runs whose step size collapsed, shape (runs,), bool.
    """

    def __init__(self, velocity: Velocity, points: Array, t_max: float, relative_tolerance: float) -> None:
        self._velocity = velocity
        self._t_max = t_max
        self._N = points.shape[1]
        self._tolerance = relative_tolerance * np.sqrt(self._N)
        # displacement of the power method: balances rounding against curvature of the velocity
        self._displacement = np.sqrt(np.finfo(points.dtype).eps * 10 * self._N)
        count = len(points)
        self._scratch = np.empty((max(1, _PIECE // self._N), self._N), points.dtype)
        self.evaluations, self.accepted, self.rejected = np.zeros((3, count), np.intp)
        self.diverged = np.zeros(count, bool)
        real, whole = np.zeros(count), np.zeros(count, np.intp)
        self._rows = _Rows(
            run=np.arange(count),
            phase=whole + _Phase.FIRST,
            time=real.copy(),
            step=real.copy(),
            stages=whole.copy(),
            stage=whole.copy(),
            radius=real.copy(),
            radius_age=whole.copy(),
            power_iterations=whole.copy(),
            power_estimate=real.copy(),
            previous_step=real.copy(),
            previous_error=real.copy(),
            rejected_before=np.zeros(count, bool),
            point=points.copy(),
            velocity=np.zeros_like(points),
            iterate=points.copy(),
            iterate_before=points.copy(),
            power_vector=np.zeros_like(points),
        )

    @property
    def live(self) -> Int:
        """Numbers of the runs that are still integrated."""
        return self._rows.run

    def drop(self, runs: Int) -> None:
        """Take ``runs`` out of the batch."""
        if len(runs):
            self._rows.keep(~np.isin(self._rows.run, runs))

    def advance(self) -> Steps:
        """Evaluate the velocity once for every live row; return the steps that this completed.

        Rows that reach ``t_max`` or diverge leave the batch.
        """
        rows = self._rows
        velocity = self._velocity(rows.iterate, rows.run)
        self.evaluations[rows.run] += 1
        ended = (rows.phase == _Phase.STAGE) & (rows.stage == rows.stages)
        first = np.flatnonzero(rows.phase == _Phase.FIRST)
        radius = np.flatnonzero(rows.phase == _Phase.RADIUS)
        done = np.flatnonzero(ended)
        done_points = rows.iterate[done]
        self._next_stage(velocity)
        rows.velocity[first] = velocity[first]
        self._start_radius(first, velocity[first])
        self._iterate_radius(radius, velocity[radius])
        steps = self._end_step(done, done_points, velocity[done])
        self._retire()
        return steps

    def _next_stage(self, velocity: Array) -> None:
        """Recurrence of the paper for all rows; rows that are not at an inner stage are set later."""
        rows, table = self._rows, coefficients()
        rows.stage += 1
        index = (rows.stages, np.minimum(rows.stage, MAX_STAGES))
        mu, nu = table.mu[index], table.nu[index]
        step_in, step_first = table.mu_tilde[index] * rows.step, table.gamma_tilde[index] * rows.step

        def column(weights: Float) -> Array:
            return weights.astype(velocity.dtype)[:, None]

        weights = [column(part) for part in (1 - mu - nu, mu, nu, step_in, step_first)]
        height = max(1, _PIECE // self._N)
        for first in range(0, len(velocity), height):  # all of a piece stays in the cache
            piece = slice(first, first + height)
            rest, now, before, into, start = (part[piece] for part in weights)
            following = rows.iterate_before[piece]  # not needed again: the next iterate takes its place
            product = self._scratch[: len(following)]
            following *= before
            for weight, vectors in (
                (rest, rows.point),
                (now, rows.iterate),
                (into, velocity),
                (start, rows.velocity),
            ):
                np.multiply(weight, vectors[piece], out=product)
                following += product
        rows.iterate_before, rows.iterate = rows.iterate, rows.iterate_before
        last = np.flatnonzero((rows.phase == _Phase.STAGE) & (rows.stage == rows.stages))
        rows.iterate[last] = to_sphere(rows.iterate[last])

    def _start_step(self, at: Int) -> None:
        if len(at) == 0:
            return
        rows = self._rows
        rows.phase[at] = _Phase.STAGE
        rows.step[at] = np.minimum(rows.step[at], LARGEST_STIFFNESS / rows.radius[at])
        rows.step[at] = np.minimum(rows.step[at], self._t_max - rows.time[at])
        # a row that is not finite gets any stages: it is retired before they are used
        rows.stages[at] = stages_needed(np.nan_to_num(rows.step[at] * rows.radius[at]))
        rows.stage[at] = 1
        move = coefficients().mu_tilde[rows.stages[at], 1] * rows.step[at]
        rows.iterate_before[at] = rows.point[at]
        rows.iterate[at] = rows.point[at] + move.astype(rows.point.dtype)[:, None] * rows.velocity[at]

    def _end_step(self, at: Int, points: Array, velocity: Array) -> Steps:
        """Error estimate and step-size control of the paper; accepted rows move on."""
        rows = self._rows
        step = rows.step[at]
        estimate = 0.8 * (rows.point[at] - points)
        estimate += (0.4 * step).astype(points.dtype)[:, None] * (rows.velocity[at] + velocity)
        error = np.sqrt(row_products(estimate, estimate).astype(np.float64)) / self._tolerance
        error = np.maximum(np.where(np.isfinite(error), error, np.inf), 1e-10)
        accepted = error <= 1
        steps = Steps(
            rows.run[at], rows.time[at], step, rows.point[at], rows.velocity[at], points, velocity
        ).select(accepted)
        self._accept(at[accepted], steps.next_point, steps.next_velocity, error[accepted])
        self._reject(at[~accepted], error[~accepted])
        return steps

    def _accept(self, at: Int, points: Array, velocity: Array, error: Float) -> None:
        rows = self._rows
        step, before = rows.step[at], rows.previous_step[at]
        factor = 0.8 / np.cbrt(error)
        with np.errstate(divide="ignore", invalid="ignore"):
            predictive = 0.8 * step * np.cbrt(rows.previous_error[at]) / (before * np.cbrt(error) ** 2)
        factor = np.where(before > 0, predictive, factor)
        # no growth right after a rejection, as in the paper's code
        factor = np.clip(factor, 0.1, np.where(rows.rejected_before[at], 1.0, 10.0))
        rows.time[at] = np.where(step >= self._t_max - rows.time[at], self._t_max, rows.time[at] + step)
        rows.point[at], rows.velocity[at] = points, velocity
        rows.previous_step[at], rows.previous_error[at] = step, error
        rows.rejected_before[at] = False
        rows.step[at] = factor * step
        rows.radius_age[at] += 1
        self.accepted[rows.run[at]] += 1
        stale = (rows.radius_age[at] >= _RADIUS_LIFETIME) & (rows.stages[at] > _RADIUS_MATTERS)
        self._start_radius(at[stale], rows.power_vector[at[stale]])
        self._start_step(at[~stale])

    def _reject(self, at: Int, error: Float) -> None:
        rows = self._rows
        rows.step[at] *= np.clip(0.8 / np.cbrt(error), 0.1, 0.8)
        rows.rejected_before[at] = True
        self.rejected[rows.run[at]] += 1
        stale = rows.radius_age[at] > 0  # instability may be what made the error large
        self._start_radius(at[stale], rows.power_vector[at[stale]])
        self._start_step(at[~stale])

    def _start_radius(self, at: Int, vectors: Array) -> None:
        rows = self._rows
        rows.phase[at] = _Phase.RADIUS
        rows.power_iterations[at] = 0
        rows.power_estimate[at] = 0
        self._displace(at, vectors)

    def _displace(self, at: Int, vectors: Array) -> None:
        """Put the next evaluation at a small displacement along ``vectors``."""
        if len(at) == 0:
            return
        rows = self._rows
        norms = np.sqrt(row_products(vectors, vectors))
        lost = ~np.isfinite(norms) | (norms == 0)  # at a critical point: any direction will do
        vectors[lost] = np.roll(rows.point[at[lost]], 1, axis=1)
        norms[lost] = np.sqrt(self._N)
        rows.power_vector[at] = vectors / norms[:, None]
        rows.iterate[at] = rows.point[at] + vectors.dtype.type(self._displacement) * rows.power_vector[at]

    def _iterate_radius(self, at: Int, velocity: Array) -> None:
        """One step of the nonlinear power method for the spectral radius of the velocity's Jacobian."""
        if len(at) == 0:
            return
        rows = self._rows
        change = velocity - rows.velocity[at]
        estimate = np.sqrt(row_products(change, change).astype(np.float64)) / self._displacement
        before = rows.power_estimate[at]
        rows.power_iterations[at] += 1
        rows.power_estimate[at] = estimate
        limit = np.where(rows.radius[at] == 0, _POWER_ITERATIONS_FIRST, _POWER_ITERATIONS_AGAIN)
        settled = (np.abs(estimate - before) <= 0.05 * estimate) | (rows.power_iterations[at] >= limit)
        settled |= ~np.isfinite(estimate)
        self._displace(at[~settled], change[~settled])
        ready, radius = at[settled], np.maximum(estimate, before)[settled]
        rows.power_vector[ready] = change[settled]
        fresh = rows.radius[ready] == 0
        rows.radius[ready] = np.maximum(_RADIUS_SAFETY * radius, 1 / self._t_max)
        rows.radius_age[ready] = 0
        rows.step[ready] = np.where(fresh, 0.5 / rows.radius[ready], rows.step[ready])
        self._start_step(ready)

    def _retire(self) -> None:
        rows = self._rows
        collapsed = ~(rows.step > _SMALLEST_STEP * self._t_max) & (rows.phase == _Phase.STAGE)
        collapsed &= rows.time < self._t_max
        self.diverged[rows.run[collapsed]] = True
        finished = collapsed | (rows.time >= self._t_max)
        if finished.any():
            rows.keep(~finished)
