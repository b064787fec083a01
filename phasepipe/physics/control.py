"""What each row of the Chebyshev integrator does next: a compiled loop over the host's numbers of all rows.

See :mod:`phasepipe.physics.chebyshev`. A row takes the velocity at its start, iterates the power method for
the spectral radius, then goes through the stages of a step. The step is accepted or rejected, and the next
step or a new estimate of the radius begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.compiled import compiled
from phasepipe.physics.recurrence import LARGEST_STIFFNESS, STABILITY

Float = NDArray[np.float64]
Int = NDArray[np.intp]

_RADIUS_SAFETY = 1.1  # the power method approaches the spectral radius from below
_RADIUS_LIFETIME = 5  # accepted steps until a new estimate: an outdated, too large radius costs stages
_RADIUS_MATTERS = 3  # with fewer stages, an overestimated radius costs nothing
_POWER_ITERATIONS_FIRST = 12
_POWER_ITERATIONS_AGAIN = 2
_SMALLEST_STEP = 1e-12  # relative to 1 / spectral radius; a row that needs smaller steps has diverged
_SMALLEST_RADIUS = 1e-9  # keeps the first step finite where the velocity is constant
_SAME_TIME = 1e-12  # relative difference below which a time is t_max

# purpose of the next evaluation of a row
FIRST = 0  # velocity at the start
_RADIUS = 1  # an iteration of the power method
_STAGE = 2  # a stage, or the end, of a step
LEFT = 3  # none: the step reached t_max

# what a row does after an evaluation, next to going on with its stages
_PROBE = 1
_STEP = 2

ROW = np.dtype(
    [
        ("run", np.intp),
        ("phase", np.intp),
        ("stages", np.intp),  # of the present step
        ("stage", np.intp),
        ("radius_age", np.intp),  # accepted steps since the estimate
        ("power_iterations", np.intp),
        ("time", np.float64),
        ("step", np.float64),
        ("radius", np.float64),  # 0 before the first estimate
        ("power_estimate", np.float64),
        ("previous_step", np.float64),  # of the last accepted step; 0 before the first
        ("previous_error", np.float64),
        ("rejected_before", np.bool_),
    ]
)
"""Numbers of one row."""

Rows = NDArray[Any]


@compiled
def sort_rows(rows: Rows, table: Float, weights: Float) -> tuple[Int, Int, Int, Int]:
    """Rows at an inner stage, those whose next stage is the last, those at the end of a step, and all others.

    Rows at an inner stage move on to the next one, whose weights (5, rows) in the recurrence are written; the
    ``table`` of the weights has shape (5, stages, stage).
    """
    inner, last, ends, probes = [np.empty(len(rows), np.intp) for _ in range(4)]
    counts = np.zeros(4, np.intp)
    for place in range(len(rows)):
        row = rows[place]
        if row.phase != _STAGE:
            probes[counts[3]] = place
            counts[3] += 1
        elif row.stage == row.stages:
            ends[counts[2]] = place
            counts[2] += 1
        else:
            row.stage += 1
            for part in range(5):
                weights[part, place] = table[part, row.stages, row.stage]
            weights[3, place] *= row.step
            weights[4, place] *= row.step
            inner[counts[0]] = place
            counts[0] += 1
            if row.stage == row.stages:
                last[counts[1]] = place
                counts[1] += 1
    return inner[: counts[0]], last[: counts[1]], ends[: counts[2]], probes[: counts[3]]


@compiled
def decide(
    rows: Rows, ends: Int, probes: Int, norms: Float, tolerance: float, displacement: float, t_max: float
) -> tuple[NDArray[np.bool_], Int, Int]:
    """Move rows at the ``ends`` of steps and ``probes`` of the velocity on.

    Parameters
    ----------
    rows
        Changed in place.
    ends, probes
        Places from :func:`sort_rows`.
    norms
        Of the estimated error of a step, or of the change of the velocity in a probe, shape (rows,).
    tolerance
        Largest norm of the error of a step.
    displacement
        Of the point in a probe.
    t_max
        End of the integration.

    Returns
    -------
    Which of the ``ends`` are accepted; the places that probe the velocity next; those that begin a step.
    """
    actions = np.zeros(len(rows), np.int8)
    accepted = np.zeros(len(ends), np.bool_)
    for number in range(len(ends)):
        place = ends[number]
        row = rows[place]
        error = norms[place] / tolerance
        if not np.isfinite(error):
            error = np.inf
        error = max(error, 1e-10)
        accepted[number] = error <= 1
        if error <= 1 and row.time + row.step >= t_max * (1 - _SAME_TIME):
            row.phase = LEFT  # its numbers stay as they were before the step, see continuation.py
            continue
        if error <= 1:
            _accept(row, error)
            stale = row.radius_age >= _RADIUS_LIFETIME and row.stages > _RADIUS_MATTERS
        else:
            row.step *= min(max(0.8 / np.cbrt(error), 0.1), 0.8)
            row.rejected_before = True
            stale = row.radius_age > 0  # instability may be what made the error large
        actions[place] = _start_radius(row) if stale else _start_step(row)
    for place in probes:
        row = rows[place]
        if row.phase == FIRST:
            actions[place] = _start_radius(row)
        elif _iterate_radius(row, norms[place] / displacement):
            actions[place] = _start_step(row)
        else:
            actions[place] = _PROBE
    return accepted, np.flatnonzero(actions == _PROBE), np.flatnonzero(actions == _STEP)


@compiled
def _accept(row: Any, error: float) -> None:
    root = np.cbrt(error)
    factor = 0.8 / root
    if row.previous_step > 0:
        factor = 0.8 * row.step * np.cbrt(row.previous_error) / (row.previous_step * root**2)
    # no growth right after a rejection, as in the paper's code
    factor = min(max(factor, 0.1), 1.0 if row.rejected_before else 10.0)
    row.time += row.step
    row.previous_step, row.previous_error = row.step, error
    row.rejected_before = False
    row.step *= factor
    row.radius_age += 1


@compiled
def _start_radius(row: Any) -> int:
    row.phase = _RADIUS
    row.power_iterations = 0
    row.power_estimate = 0.0
    return _PROBE


@compiled
def _iterate_radius(row: Any, estimate: float) -> bool:
    """A step of the nonlinear power method for the spectral radius; whether it is the last."""
    before = row.power_estimate
    row.power_iterations += 1
    row.power_estimate = estimate
    if not np.isfinite(estimate):
        row.step = 0.0  # the row has diverged
        return True
    limit = _POWER_ITERATIONS_FIRST if row.radius == 0 else _POWER_ITERATIONS_AGAIN
    if abs(estimate - before) > 0.05 * estimate and row.power_iterations < limit:
        return False
    first = row.radius == 0
    row.radius = max(_RADIUS_SAFETY * max(estimate, before), _SMALLEST_RADIUS)
    row.radius_age = 0
    if first:
        row.step = 0.5 / row.radius
    return True


@compiled
def _start_step(row: Any) -> int:
    step = row.step
    if row.radius > 0:
        step = min(step, LARGEST_STIFFNESS / row.radius)
    row.step = step
    row.stages = max(2, 1 + int(np.sqrt(1 + step * row.radius / STABILITY)))
    row.phase, row.stage = _STAGE, 1
    return _STEP


@compiled
def start_steps(rows: Rows, places: Int) -> None:
    """Let the rows at ``places`` begin a step."""
    for place in places:
        _start_step(rows[place])


@compiled
def retire(rows: Rows) -> tuple[NDArray[np.bool_], Int]:
    """Which rows go on, and the runs whose steps have become too small: they have diverged."""
    stays = np.ones(len(rows), np.bool_)
    diverged = np.zeros(len(rows), np.bool_)
    for place in range(len(rows)):
        row = rows[place]
        if row.phase == LEFT:
            stays[place] = False
        elif row.phase == _STAGE and not row.step * row.radius > _SMALLEST_STEP:
            stays[place], diverged[place] = False, True
    return stays, rows["run"][diverged]
