"""Batched Runge-Kutta-Chebyshev integrator of second order for stiff gradient flow on the sphere.

Sommeijer, Shampine, Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput. Appl. Math. 88
(1998) 315. A step with s stages is stable for ``step * spectral radius`` up to about 0.62 s², so the
cost of stiffness grows only with its square root.

Every row of the batch has its own time, step size, number of stages, spectral radius and current stage. One
call of :meth:`ChebyshevIntegrator.advance` evaluates the velocity once for all rows and moves each of them
to its next evaluation. The matrix products therefore always include all active rows, and the path of a row
does not depend on the other rows.

Points and velocities may be tensors on a device (:mod:`phasepipe.physics.arrays`); all control quantities
are on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.arrays import Vectors, arrays_of
from phasepipe.physics.recurrence import LARGEST_STIFFNESS, MAX_STAGES, coefficients, stages_needed
from phasepipe.physics.steps import Steps

Velocity = Callable[[Vectors, NDArray[np.intp]], Vectors]
Float = NDArray[np.float64]
Int = NDArray[np.intp]

_RADIUS_SAFETY = 1.1  # the power method approaches the spectral radius from below
_RADIUS_LIFETIME = 5  # accepted steps until a new estimate: an outdated, too large radius costs stages
_RADIUS_MATTERS = 3  # with fewer stages, an overestimated radius costs nothing
_POWER_ITERATIONS_FIRST = 12
_POWER_ITERATIONS_AGAIN = 2
_SMALLEST_STEP = 1e-12  # relative to t_max; a row that needs smaller steps has diverged


# purpose of the next evaluation of a row; plain integers, because enumerations are slower
_FIRST = 0  # velocity at the start
_RADIUS = 1  # an iteration of the power method
_STAGE = 2  # a stage, or the end, of a step


@dataclass
class _Rows:
    """State of the active rows as a structure of arrays, which are compressed together."""

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
    point: Vectors
    velocity: Vectors
    iterate: Vectors  # where the velocity is evaluated next
    iterate_before: Vectors
    power_vector: Vectors

    def keep(self, mask: NDArray[np.bool_]) -> None:
        here = arrays_of(self.point).index(mask)
        for field in fields(self):
            values = getattr(self, field.name)
            setattr(self, field.name, values[mask if values.ndim == 1 else here])


@cache
def _weights() -> Float:
    """Weights of previous iterate, point, iterate, and velocity at iterate and point; (5, stages x stage)."""
    table = coefficients()
    whole = np.stack([table.nu, 1 - table.mu - table.nu, table.mu, table.mu_tilde, table.gamma_tilde])
    return whole.reshape(5, -1)


class ChebyshevIntegrator:
    """Integrates ``dw/dt = velocity(w)`` on the sphere for many rows, each with its own step size.

    Parameters
    ----------
    velocity
        Function of points, shape (rows, N), and their run numbers, shape (rows,).
    points
        Starts, shape (runs, N), on the sphere; an array or a tensor.
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

    def __init__(self, velocity: Velocity, points: Vectors, t_max: float, relative_tolerance: float) -> None:
        self._velocity = velocity
        self._t_max = t_max
        self._N = points.shape[1]
        self._tolerance = relative_tolerance * np.sqrt(self._N)
        # displacement of the power method: balances rounding against curvature of the velocity
        arrays = self._arrays = arrays_of(points)
        self._displacement = float(np.sqrt(np.finfo(arrays.dtype(points)).eps * 10 * self._N))
        count = len(points)
        self._scratch = arrays.scratch(points)
        self.evaluations, self.accepted, self.rejected = np.zeros((3, count), np.intp)
        self.diverged = np.zeros(count, bool)
        self._weights = _weights()
        real, whole = np.zeros(count), np.zeros(count, np.intp)
        self._rows = _Rows(
            run=np.arange(count),
            phase=whole + _FIRST,
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
            point=arrays.copy(points),
            velocity=arrays.zeros_like(points),
            iterate=arrays.copy(points),
            iterate_before=arrays.copy(points),
            power_vector=arrays.zeros_like(points),
        )

    @property
    def live(self) -> Int:
        """Numbers of the runs that are still integrated."""
        return self._rows.run

    def drop(self, runs: Int) -> None:
        """Remove ``runs`` from the batch."""
        if len(runs):
            staying = np.ones(len(self.diverged), bool)
            staying[runs] = False
            self._rows.keep(staying[self._rows.run])

    def advance(self) -> Steps:
        """Evaluate the velocity once for every active row; return the completed steps.

        Rows that reach ``t_max`` or diverge leave the batch.
        """
        rows, index = self._rows, self._arrays.index
        velocity = self._velocity(rows.iterate, rows.run)
        self.evaluations[rows.run] += 1
        at_stage = rows.phase == _STAGE
        first = np.flatnonzero(rows.phase == _FIRST)
        radius = np.flatnonzero(rows.phase == _RADIUS)
        done = np.flatnonzero(at_stage & (rows.stage == rows.stages))
        done_at = index(done)
        done_points = rows.iterate[done_at]
        self._next_stage(velocity, at_stage)
        if len(first):
            start_at = index(first)
            rows.velocity[start_at] = velocity[start_at]
            self._start_radius(first, velocity[start_at])
        if len(radius):
            self._iterate_radius(radius, velocity[index(radius)])
        steps = self._end_step(done, done_points, velocity[done_at])
        self._retire()
        return steps

    def _next_stage(self, velocity: Vectors, at_stage: NDArray[np.bool_]) -> None:
        """Recurrence of the paper for all rows; rows that are not at an inner stage are set later."""
        rows = self._rows
        rows.stage += 1
        place = rows.stages * (MAX_STAGES + 1) + np.minimum(rows.stage, MAX_STAGES)
        weights = self._weights.take(place, axis=1)
        weights[3:] *= rows.step
        own, *others = weights
        terms = zip(others, (rows.point, rows.iterate, velocity, rows.velocity), strict=True)
        # the previous iterate is not needed again: overwrite it with the next one
        self._arrays.accumulate(rows.iterate_before, own, terms, self._scratch)
        rows.iterate_before, rows.iterate = rows.iterate, rows.iterate_before
        last = np.flatnonzero(at_stage & (rows.stage == rows.stages))
        if len(last):
            here = self._arrays.index(last)
            rows.iterate[here] = self._arrays.to_sphere(rows.iterate[here])

    def _start_step(self, at: Int) -> None:
        if len(at) == 0:
            return
        rows, here = self._rows, self._arrays.index(at)
        radius, point = rows.radius[at], rows.point[here]
        step = np.minimum(np.minimum(rows.step[at], LARGEST_STIFFNESS / radius), self._t_max - rows.time[at])
        # the number of stages of a row that is not finite is arbitrary: the row is removed before it is used
        stiffness = step * radius
        stages = stages_needed(np.where(np.isnan(stiffness), 0.0, stiffness))
        rows.phase[at], rows.step[at], rows.stages[at], rows.stage[at] = _STAGE, step, stages, 1
        move = coefficients().mu_tilde[stages, 1] * step
        following = self._arrays.column(move, point) * rows.velocity[here]
        following += point
        rows.iterate_before[here], rows.iterate[here] = point, following

    def _end_step(self, at: Int, points: Vectors, velocity: Vectors) -> Steps:
        """Error estimate and step-size control of the paper; accepted rows advance."""
        rows = self._rows
        step, here = rows.step[at], self._arrays.index(at)
        steps = Steps(
            rows.run[at], rows.time[at], step, rows.point[here], rows.velocity[here], points, velocity
        )
        if len(at) == 0:
            return steps
        estimate = steps.point - points
        estimate *= 0.8
        estimate += self._arrays.column(0.4 * step, points) * (steps.velocity + velocity)
        error = self._norms(estimate) / self._tolerance
        error = np.maximum(np.where(np.isfinite(error), error, np.inf), 1e-10)
        accepted = error <= 1
        if not accepted.all():  # rare: one step in a hundred is rejected
            self._reject(at[~accepted], error[~accepted])
            at, error, steps = at[accepted], error[accepted], steps.select(accepted)
        if len(at):
            self._accept(at, steps.next_point, steps.next_velocity, error)
        return steps

    def _norms(self, vectors: Vectors) -> Float:
        """Norm of each row, as a host array."""
        squares = self._arrays.fetch(self._arrays.row_products(vectors, vectors))
        norms: Float = np.sqrt(squares.astype(np.float64))
        return norms

    def _accept(self, at: Int, points: Vectors, velocity: Vectors, error: Float) -> None:
        rows, here = self._rows, self._arrays.index(at)
        time, step, before = rows.time[at], rows.step[at], rows.previous_step[at]
        root = np.cbrt(error)
        with np.errstate(divide="ignore", invalid="ignore"):
            predictive = 0.8 * step * np.cbrt(rows.previous_error[at]) / (before * root**2)
        factor = np.where(before > 0, predictive, 0.8 / root)
        # no growth right after a rejection, as in the paper's code
        factor = np.minimum(np.maximum(factor, 0.1), np.where(rows.rejected_before[at], 1.0, 10.0))
        rows.time[at] = np.where(step >= self._t_max - time, self._t_max, time + step)
        rows.point[here], rows.velocity[here] = points, velocity
        rows.previous_step[at], rows.previous_error[at] = step, error
        rows.rejected_before[at] = False
        rows.step[at] = factor * step
        age = rows.radius_age[at] + 1
        rows.radius_age[at] = age
        self.accepted[rows.run[at]] += 1
        self._go_on(at, (age >= _RADIUS_LIFETIME) & (rows.stages[at] > _RADIUS_MATTERS))

    def _reject(self, at: Int, error: Float) -> None:
        rows = self._rows
        rows.step[at] *= np.clip(0.8 / np.cbrt(error), 0.1, 0.8)
        rows.rejected_before[at] = True
        self.rejected[rows.run[at]] += 1
        self._go_on(at, rows.radius_age[at] > 0)  # instability may be what made the error large

    def _go_on(self, at: Int, stale: NDArray[np.bool_]) -> None:
        """Start the next step; estimate the radius again first where it is ``stale``."""
        if stale.any():
            again, at = at[stale], at[~stale]
            self._start_radius(again, self._rows.power_vector[self._arrays.index(again)])
        self._start_step(at)

    def _start_radius(self, at: Int, vectors: Vectors) -> None:
        rows = self._rows
        rows.phase[at] = _RADIUS
        rows.power_iterations[at] = 0
        rows.power_estimate[at] = 0
        self._displace(at, vectors)

    def _displace(self, at: Int, vectors: Vectors) -> None:
        """Place the next evaluation at a small displacement along ``vectors``."""
        if len(at) == 0:
            return
        rows, here = self._rows, self._arrays.index(at)
        points = rows.point[here]
        directions = self._arrays.directions(vectors, points)  # arbitrary at a critical point
        rows.power_vector[here] = directions
        directions *= self._displacement
        points += directions
        rows.iterate[here] = points

    def _iterate_radius(self, at: Int, velocity: Vectors) -> None:
        """One step of the nonlinear power method for the spectral radius of the Jacobian of the velocity."""
        rows, index = self._rows, self._arrays.index
        change = velocity - rows.velocity[index(at)]
        estimate = self._norms(change) / self._displacement
        before = rows.power_estimate[at]
        rows.power_iterations[at] += 1
        rows.power_estimate[at] = estimate
        limit = np.where(rows.radius[at] == 0, _POWER_ITERATIONS_FIRST, _POWER_ITERATIONS_AGAIN)
        settled = (np.abs(estimate - before) <= 0.05 * estimate) | (rows.power_iterations[at] >= limit)
        settled |= ~np.isfinite(estimate)
        self._displace(at[~settled], change[index(~settled)])
        ready, radius = at[settled], np.maximum(estimate, before)[settled]
        rows.power_vector[index(ready)] = change[index(settled)]
        fresh = rows.radius[ready] == 0
        rows.radius[ready] = np.maximum(_RADIUS_SAFETY * radius, 1 / self._t_max)
        rows.radius_age[ready] = 0
        rows.step[ready] = np.where(fresh, 0.5 / rows.radius[ready], rows.step[ready])
        self._start_step(ready)

    def _retire(self) -> None:
        rows = self._rows
        finished = rows.time >= self._t_max
        small = ~(rows.step > _SMALLEST_STEP * self._t_max)
        if small.any():
            collapsed = small & (rows.phase == _STAGE) & ~finished
            self.diverged[rows.run[collapsed]] = True
            finished |= collapsed
        if finished.any():
            rows.keep(~finished)
