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
from phasepipe.physics.continuation import SCALARS, RunStates, no_states
from phasepipe.physics.control import FIRST, LEFT, ROW, decide, retire, sort_rows, start_steps
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
        End of the integration. It does not affect the steps: the last one ends at or after ``t_max``.
    relative_tolerance
        Bound on the estimated error of a step, relative to ``|w| = sqrt(N)``.
    states
        States from which to continue runs, see below; rows that hold NaN begin at ``points``.

    Attributes
    ----------
    evaluations, accepted, rejected
        Velocity evaluations, accepted and rejected steps of every run so far, shape (runs,).
    diverged
        Runs whose step size collapsed, shape (runs,), bool.
    states
        State of every run that reached ``t_max``, as it was before its last step: from there a longer
        integration takes the same steps as if it had not stopped (:mod:`phasepipe.physics.continuation`).
    """

    def __init__(
        self,
        velocity: Velocity,
        points: Vectors,
        t_max: float,
        relative_tolerance: float,
        states: RunStates | None = None,
    ) -> None:
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
        self.states = no_states(count, N)
        if states is not None:
            self._continue(states)

    def _continue(self, states: RunStates) -> None:
        """Place the rows that hold a state at the beginning of their next step."""
        at = np.flatnonzero(np.isfinite(states.scalars["time"]))
        if len(at) == 0:
            return
        here, dtype = self._arrays.index(at), self._arrays.dtype(self._vectors.point)
        for name in SCALARS:
            values = self.evaluations if name == "evaluations" else self._rows[name]
            values[at] = states.scalars[name][at].astype(values.dtype)
        self._vectors.point[here] = self._arrays.send(states.points[at].astype(dtype))
        self._vectors.power_vector[here] = self._arrays.send(states.power_vectors[at].astype(dtype))
        # the velocity at the point was counted when it was first evaluated
        self._vectors.velocity[here] = self._velocity(self._vectors.point[here], at)
        start_steps(self._rows, at)
        self._first_stage(at)

    def _leave(self, places: Int, points: Vectors) -> None:
        """Keep the states of rows whose accepted step reaches ``t_max``, and their ``points`` before it."""
        run = self._live[places]
        for name in SCALARS:
            if name != "evaluations":
                self.states.scalars[name][run] = self._rows[name][places]
        # every stage of the step was one evaluation
        self.states.scalars["evaluations"][run] = self.evaluations[run] - self._rows["stages"][places]
        self.states.points[run] = self._arrays.fetch(points)
        here = self._arrays.index(places)
        self.states.power_vectors[run] = self._arrays.fetch(self._vectors.power_vector[here])

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
        beginning = None if self._begun else arrays.index(np.flatnonzero(rows["phase"] == FIRST))
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
        left = rows["phase"][ends] == LEFT
        if left.any():
            self._leave(ends[left], steps.point[arrays.index(left)])
        if not accepted.all():  # rare: one step in a hundred is rejected
            steps, here = steps.select(accepted), arrays.index(ends[accepted])
        point[here], velocity[here] = steps.next_point, steps.next_velocity
        if beginning is not None:  # at a start the change is that from zero
            self._begun = True
            velocity[beginning] = found[beginning]
        arrays.displace(probing, point, power_vector, self._displacement, before)
        self._first_stage(starting)
        self.accepted[steps.run] += 1
        self.rejected[runs[ends[~accepted]]] += 1
        stays, diverged = retire(rows)
        self.diverged[diverged] = True
        self._keep(stays)
        return steps

    def _first_stage(self, places: Int) -> None:
        """First stage of the step of the rows at ``places``."""
        arrays, rows = self._arrays, self._rows
        point, velocity, iterate, before, _ = self._vectors
        here = arrays.index(places)
        before[here] = point[here]
        move = coefficients().mu_tilde[rows["stages"][places], 1] * rows["step"][places]
        arrays.move(places, move, point, velocity, iterate)
