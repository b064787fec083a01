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
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.arrays import Vectors, arrays_of
from phasepipe.physics.control import ROW, decide, retire, sort_rows
from phasepipe.physics.recurrence import coefficients
from phasepipe.physics.steps import Steps

Velocity = Callable[[Vectors, NDArray[np.intp]], Vectors]
Float = NDArray[np.float64]
Int = NDArray[np.intp]


class _Vectors(NamedTuple):
    """Vectors of the active rows, each (rows, N)."""

    point: Vectors
    velocity: Vectors  # at the point
    iterate: Vectors  # where the velocity is evaluated next
    iterate_before: Vectors
    power_vector: Vectors


@cache
def _weights() -> Float:
    """Weights of previous iterate, point, iterate, and velocity at iterate and point; (5, stages, stage)."""
    table = coefficients()
    return np.stack([table.nu, 1 - table.mu - table.nu, table.mu, table.mu_tilde, table.gamma_tilde])


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
        self._t_max = float(t_max)
        N = points.shape[1]
        self._tolerance = relative_tolerance * np.sqrt(N)
        # displacement of the power method: balances rounding against curvature of the velocity
        arrays = self._arrays = arrays_of(points)
        self._displacement = float(np.sqrt(np.finfo(arrays.dtype(points)).eps * 10 * N))
        count = len(points)
        self.evaluations, self.accepted, self.rejected = np.zeros((3, count), np.intp)
        self.diverged = np.zeros(count, bool)
        self._rows = np.zeros(count, ROW)
        self._rows["run"] = np.arange(count)
        self._vectors = _Vectors(
            point=arrays.copy(points),
            velocity=arrays.zeros_like(points),
            iterate=arrays.copy(points),
            iterate_before=arrays.copy(points),
            power_vector=arrays.zeros_like(points),
        )
        self._begun = False
        self._resize()

    @property
    def live(self) -> Int:
        """Numbers of the runs that are still integrated."""
        return self._live

    def drop(self, runs: Int) -> None:
        """Remove ``runs`` from the batch."""
        if len(runs):
            staying = np.ones(len(self.diverged), bool)
            staying[runs] = False
            self._keep(staying[self._live])

    def _keep(self, mask: NDArray[np.bool_]) -> None:
        if mask.all():
            return
        self._rows = self._rows[mask]
        here = self._arrays.index(mask)
        self._vectors = _Vectors(*(part[here] for part in self._vectors))
        self._resize()

    def _resize(self) -> None:
        self._live = self._rows["run"].copy()  # contiguous, and the same array until a run ends
        self._norms = np.zeros(len(self._live))
        self._table = np.zeros((5, len(self._live)))

    def advance(self) -> Steps:
        """Evaluate the velocity once for every active row; return the completed steps.

        Rows that reach ``t_max`` or diverge leave the batch.
        """
        arrays, rows, runs = self._arrays, self._rows, self._live
        point, velocity, iterate, before, power_vector = self._vectors
        found = self._velocity(iterate, runs)
        self.evaluations[runs] += 1
        inner, last, ends, probes = sort_rows(rows, _weights(), self._table)
        # the previous iterate is not needed again: overwrite it with the next one
        arrays.recur(inner, before, self._table, (point, iterate, found, velocity))
        arrays.to_sphere(before, last)
        self._vectors = self._vectors._replace(iterate=before, iterate_before=iterate)

        here = arrays.index(ends)
        time, step = rows["time"][ends], rows["step"][ends]
        steps = Steps(runs[ends], time, step, point[here], velocity[here], iterate[here], found[here])
        self._norms[ends] = arrays.step_errors(step, *steps[3:])
        self._norms[probes] = arrays.changes(probes, found, velocity, power_vector)
        accepted, probing, starting = decide(
            rows, ends, probes, self._norms, self._tolerance, self._displacement, self._t_max
        )
        if not accepted.all():  # rare: one step in a hundred is rejected
            steps, here = steps.select(accepted), arrays.index(ends[accepted])
        point[here], velocity[here] = steps.next_point, steps.next_velocity
        if not self._begun:  # all rows are at their starts, where the change is that from zero
            self._begun = True
            velocity[...] = found
        arrays.displace(probing, point, power_vector, self._displacement, before)
        here = arrays.index(starting)
        iterate[here] = point[here]
        move = coefficients().mu_tilde[rows["stages"][starting], 1] * rows["step"][starting]
        arrays.move(starting, move, point, velocity, before)
        self.accepted[steps.run] += 1
        self.rejected[runs[ends[~accepted]]] += 1
        stays, diverged = retire(rows, self._t_max)
        self.diverged[diverged] = True
        self._keep(stays)
        return steps
