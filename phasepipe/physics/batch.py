"""Many runs in one batch, by gradient flow or gradient descent, with their outcomes and records.

See docs/explanation/physics.md §3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.physics.arrays import Vectors
from phasepipe.physics.cache_size import cached_bytes
from phasepipe.physics.chebyshev import ChebyshevIntegrator
from phasepipe.physics.continuation import RunStates, no_states
from phasepipe.physics.field import GradientField
from phasepipe.physics.losses import Loss
from phasepipe.physics.problem import Problem
from phasepipe.physics.protocol import Descent, Flow, RunProtocol
from phasepipe.physics.records import RunLog
from phasepipe.physics.sphere import to_sphere
from phasepipe.physics.steps import Steps, reached
from phasepipe.physics.threads import one_blas_thread

Int = NDArray[np.intp]


@one_blas_thread()
def run_batch(
    problems: Sequence[Problem],
    loss: Loss,
    starts: Sequence[NDArray[np.floating]],
    protocol: RunProtocol,
    snapshot_runs: NDArray[np.bool_] | None = None,
    states: RunStates | None = None,
) -> xr.Dataset:
    """Run all starts of several instances of equal shape in one batch.

    On a CPU the bits of a run depend only on its instance and start, not on the other runs of the batch, the
    requested records, the time budget, or whether it is continued. (They do depend on the processor, and on
    NumPy and its BLAS.) On a GPU they may depend on the batch.

    Parameters
    ----------
    problems
        Instances with equal N and M.
    loss
        The loss.
    starts
        For each instance its starts, shape (count, N).
    protocol
        Dynamics, times and thresholds.
    snapshot_runs
        Runs whose points are stored at ``protocol.snapshots``, shape (runs,) bool; default all.
    states
        The ``state`` of runs to continue, from a result with a smaller time budget; NaN for the other runs.
        The starts of continued runs are not used, and their records up to the time of the state are NaN.

    Returns
    -------
    Dataset with dimensions (start, time): all runs, instance after instance, with ``outcome``,
    ``recovery_time``, ``end_time``, ``evaluations``, ``overlap``, ``loss``, ``gradient_norm``, ``mu``,
    ``state``; and ``snapshot`` (snapshot_run, snapshot_time, component) if requested. Records after the end
    of a run are NaN.
    """
    owner = np.repeat(np.arange(len(problems)), [len(block) for block in starts])
    if len(protocol.snapshots) and snapshot_runs is None:
        snapshot_runs = np.ones(len(owner), bool)
    field = GradientField(problems, loss, owner, protocol.dtype, protocol.device)
    log = RunLog(
        field,
        protocol.times,
        protocol.t_max,
        protocol.recovery_threshold,
        protocol.gradient_tolerance,
        protocol.predictor,
        protocol.snapshots,
        snapshot_runs,
    )
    points = field.arrays.send(to_sphere(np.concatenate(starts).astype(protocol.dtype)))
    before = no_states(len(owner), field.N) if states is None else states
    ended = log.begin(points, before)
    integrate: Callable[..., _Ends] = _flow if isinstance(protocol.dynamics, Flow) else _descend
    # overflow in a step that is too long is caught by its error estimate, or ends the run as diverged
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        parts = []
        for rows in _groups(field, protocol.device):
            first, gone = rows.start, ended[(ended >= rows.start) & (ended < rows.stop)] - rows.start
            parts.append(
                integrate(field, log, points[rows], protocol.dynamics, before.select(rows), first, gone)
            )
    evaluations, after, diverged = (np.concatenate(part) for part in zip(*parts, strict=True))
    log.finish(diverged)
    return log.dataset(evaluations, RunStates(after))


def _groups(field: GradientField, device: str) -> list[slice]:
    """Runs that are integrated together: those of as many instances as stay in the caches of a processor."""
    instances = together = len(field.problems)
    if device == "cpu" and instances > 1:
        together = max(1, cached_bytes() // (field.M * field.N * field.dtype.itemsize))
    edges = np.searchsorted(field.owner, [*range(0, instances, together), instances]).tolist()
    return [slice(first, last) for first, last in pairwise(edges)]


# evaluations, states (runs, state_length) and whether the run diverged, of every run
_Ends = tuple[Int, NDArray[np.float64], NDArray[np.bool_]]


def _flow(
    field: GradientField,
    log: RunLog,
    points: Vectors,
    dynamics: Flow,
    states: RunStates,
    first: int,
    gone: Int,
) -> _Ends:
    """Integrate the runs numbered from ``first`` on, except those at the places ``gone``."""
    live = numbers = np.arange(0)

    def velocity(points: Vectors, runs: Int) -> Vectors:
        nonlocal live, numbers
        if runs is not live:  # the field, too, gets the same array until a run ends
            live, numbers = runs, runs + first
        return field(points, numbers)

    integrator = ChebyshevIntegrator(velocity, points, log.t_max, dynamics.relative_tolerance, states)
    integrator.drop(gone)
    while len(integrator.live):
        steps = integrator.advance()
        integrator.drop(log.take(steps._replace(run=steps.run + first)) - first)
    return integrator.evaluations, integrator.states.vectors, integrator.diverged


def _descend(
    field: GradientField,
    log: RunLog,
    points: Vectors,
    dynamics: Descent,
    states: RunStates,
    first: int,
    gone: Int,
) -> _Ends:
    """Move the runs numbered from ``first`` on, except those at the places ``gone``."""
    arrays, rate = field.arrays, float(dynamics.learning_rate)  # a Python float keeps float32 arrays float32
    runs = np.arange(len(points))
    continued = np.isfinite(states.scalars["time"])
    # one evaluation per step
    evaluations = np.where(continued, states.scalars["evaluations"], 0).astype(np.intp)
    if continued.any():
        points[arrays.index(continued)] = arrays.send(states.points[continued].astype(field.dtype))
    after = no_states(len(points), field.N)
    diverged = np.zeros(len(points), bool)
    while True:
        keep = ~np.isin(runs, gone)
        runs, points = runs[keep], points[arrays.index(keep)]
        if len(runs) == 0:
            break
        time, step = evaluations[runs].astype(np.float64) * rate, np.full(len(runs), rate)
        last = reached(time + step, log.t_max)
        if last.any():
            after.scalars["time"][runs[last]] = time[last]
            after.scalars["evaluations"][runs[last]] = evaluations[runs[last]]
            after.points[runs[last]] = arrays.fetch(points[arrays.index(last)])
        velocity = field(points, runs + first)
        evaluations[runs] += 1
        following = points + rate * velocity
        arrays.to_sphere(following, np.arange(len(runs)))
        # after an overflow the point is zero or not a number
        finite = field.products(following, following) > 0.5 * field.N
        diverged[runs[~finite]] = True
        # the chord as velocity at both ends makes the interpolation linear, consistent with the method
        chord = (following - points) / rate
        steps = Steps(runs + first, time, step, points, chord, following, chord)
        gone = np.concatenate([log.take(steps.select(finite)) - first, runs[~finite]])
        points = following
    return evaluations, after.vectors, diverged
