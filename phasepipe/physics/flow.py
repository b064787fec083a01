"""Gradient flow and gradient descent of many runs, with their outcomes and records.

See docs/explanation/physics.md §3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from itertools import pairwise
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, DTypeLike, NDArray

from phasepipe.physics.arguments import require_number
from phasepipe.physics.arrays import Vectors, require_device
from phasepipe.physics.chebyshev import ChebyshevIntegrator
from phasepipe.physics.continuation import RunStates, no_states
from phasepipe.physics.field import GradientField
from phasepipe.physics.loss_check import check_loss
from phasepipe.physics.losses import Loss
from phasepipe.physics.problem import Problem
from phasepipe.physics.records import Predictor, RunLog, record_times
from phasepipe.physics.sphere import to_sphere
from phasepipe.physics.steps import Steps, reached
from phasepipe.physics.threads import one_blas_thread

Int = NDArray[np.intp]

# below these tolerances the error is dominated by rounding
_SMALLEST_TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
# Bytes of sensing matrices that runs are integrated with at a time. Integrated together, 12 instances at
# N = 1024 (110 MB) took 1.6 times as long as one after the other, and 64 at N = 256 (35 MB) 1.15 times as
# long as by 16.
_CACHE = 9_500_000
_FARTHEST = 100.0  # largest accepted factor between the norm of a start and sqrt(N); starts are rescaled


@dataclass(frozen=True)
class Flow:
    """Gradient flow, integrated to ``relative_tolerance`` per step."""

    relative_tolerance: float = 1e-2


@dataclass(frozen=True)
class Descent:
    """Gradient descent ``w <- normalise(w - learning_rate g)``."""

    learning_rate: float


@dataclass(frozen=True)
class RunProtocol:
    """Dynamics, times and thresholds of a run; the same for all runs of a batch.

    Attributes
    ----------
    dynamics
        :class:`Flow` or :class:`Descent`.
    times
        Record times, ascending from 0, at most ``t_max``.
    recovery_threshold
        ``|m|`` above which a run has recovered, in (0, 1).
    gradient_tolerance
        ``|g| / sqrt(N)`` below which a run is tested for a trap.
    dtype
        float32 or float64.
    predictor
        Additional observables of every record.
    snapshots
        Indices into ``times`` at which points of chosen runs are stored.
    device
        "cpu", or "gpu" through PyTorch, which falls back to the CPU with a warning if there is no GPU.
    t_max
        Time budget; by default the last record time.
    """

    dynamics: Flow | Descent
    times: NDArray[np.float64]
    recovery_threshold: float = 0.99
    gradient_tolerance: float = 1e-3
    dtype: Literal["float32", "float64"] = "float32"
    predictor: Predictor | None = None
    snapshots: Int = dataclass_field(default_factory=lambda: np.arange(0))
    device: str = "cpu"
    t_max: float = np.nan

    def __post_init__(self) -> None:
        if np.isnan(self.t_max):
            object.__setattr__(self, "t_max", float(self.times[-1]))
        require_device(self.device)
        require_number("recovery_threshold", self.recovery_threshold, example=0.99, above=0, below=1)
        require_number("gradient_tolerance", self.gradient_tolerance, example=1e-3, above=0)
        # types such as np.float32 are accepted too
        object.__setattr__(self, "dtype", _require_dtype(self.dtype))
        if isinstance(self.dynamics, Descent):
            require_number("learning_rate", self.dynamics.learning_rate, example=1e-3, above=0)
            return
        tolerance = require_number("relative_tolerance", self.dynamics.relative_tolerance, example=1e-2)
        if not _SMALLEST_TOLERANCE[self.dtype] <= tolerance <= 0.1:
            raise ValueError(
                f"relative_tolerance = {tolerance:g} lies outside "
                f"[{_SMALLEST_TOLERANCE[self.dtype]:.0e}, 0.1] for {self.dtype}; take for example 1e-2"
            )


def _require_dtype(dtype: DTypeLike) -> str:
    try:
        name = np.dtype(dtype).name if dtype is not None else None
    except TypeError:
        name = None
    if name not in _SMALLEST_TOLERANCE:
        raise ValueError(f"dtype = {dtype!r} will not do; take 'float32' or 'float64'")
    return name


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
        parts = [
            integrate(field, log, points[rows], protocol.dynamics, before.select(rows), rows.start, ended)
            for rows in _groups(field, protocol.device)
        ]
    evaluations, after, diverged = (np.concatenate(part) for part in zip(*parts, strict=True))
    log.finish(diverged)
    return log.dataset(evaluations, RunStates(after))


def _groups(field: GradientField, device: str) -> list[slice]:
    """Runs that are integrated together: those of as many instances as stay in the cache of a processor."""
    instances = len(field.problems)
    together = max(1, _CACHE // (field.M * field.N * field.dtype.itemsize)) if device == "cpu" else instances
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
    ended: Int,
) -> _Ends:
    """Integrate the runs numbered from ``first`` on, except those that have ``ended``."""
    live = numbers = np.arange(0)

    def velocity(points: Vectors, runs: Int) -> Vectors:
        nonlocal live, numbers
        if runs is not live:  # the field, too, gets the same array until a run ends
            live, numbers = runs, runs + first
        return field(points, numbers)

    integrator = ChebyshevIntegrator(velocity, points, log.t_max, dynamics.relative_tolerance, states)
    integrator.drop(ended[(ended >= first) & (ended < first + len(points))] - first)
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
    ended: Int,
) -> _Ends:
    """Move the runs numbered from ``first`` on, except those that have ``ended``."""
    arrays, rate = field.arrays, float(dynamics.learning_rate)  # a Python float keeps float32 arrays float32
    runs = np.arange(len(points))
    continued = np.isfinite(states.scalars["time"])
    # one evaluation per step
    evaluations = np.where(continued, states.scalars["evaluations"], 0).astype(np.intp)
    if continued.any():
        points[arrays.index(continued)] = arrays.send(states.points[continued].astype(field.dtype))
    after = no_states(len(points), field.N)
    diverged = np.zeros(len(points), bool)
    gone = ended - first
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


def run_flow(
    problem: Problem,
    loss: Loss,
    w0: ArrayLike,
    t_max: float = 100.0,
    *,
    relative_tolerance: float = 1e-2,
    recovery_threshold: float = 0.99,
    gradient_tolerance: float = 1e-3,
    records_per_decade: int = 8,
    dtype: Literal["float32", "float64"] = "float32",
    snapshots: bool = False,
    device: str = "cpu",
) -> xr.Dataset:
    """Gradient flow from each row of ``w0`` (docs/explanation/physics.md §3).

    Parameters
    ----------
    problem
        The instance.
    loss
        Object with value, slope and curvature of (yhat, y).
    w0
        Starts, shape (count, N) or (N,), finite and with norms within a factor of 100 of ``sqrt(N)``; they
        are rescaled to the sphere.
    t_max
        Time budget.
    relative_tolerance
        Bound on the error of a step, relative to ``|w|``.
    recovery_threshold
        ``|m|`` beyond which a run has recovered and ends.
    gradient_tolerance
        ``|g| / sqrt(N)`` below which a run is examined as a trap.
    records_per_decade
        Record times per factor of ten.
    dtype
        Arithmetic of the flow.
    snapshots
        Keep the points ``w(t)`` at every record time.
    device
        "cpu", or "gpu" through PyTorch (CUDA or ROCm); without a GPU that is the CPU again, and a warning
        of the logger "phasepipe" says so.

    Returns
    -------
    Dataset with dimensions (start, time), see :func:`run_batch`; ``snapshot`` has (start, time, component).

    Raises
    ------
    ValueError, TypeError
        For a start of the wrong shape, not finite or far off the sphere, a parameter out of range, a loss
        that :func:`phasepipe.physics.loss_check.check_loss` refuses, or one with functions of NumPy on a GPU.
    """
    dynamics = Flow(relative_tolerance)
    return _run(
        problem, loss, w0, dynamics, t_max, recovery_threshold, gradient_tolerance, records_per_decade,
        dtype, snapshots, device,
    )  # fmt: skip


def run_descent(
    problem: Problem,
    loss: Loss,
    w0: ArrayLike,
    learning_rate: float,
    t_max: float = 100.0,
    *,
    recovery_threshold: float = 0.99,
    gradient_tolerance: float = 1e-3,
    records_per_decade: int = 8,
    dtype: Literal["float32", "float64"] = "float32",
    snapshots: bool = False,
    device: str = "cpu",
) -> xr.Dataset:
    """Gradient descent with a fixed learning rate; time is the sum of learning rates.

    Parameters, result and errors are those of :func:`run_flow`. The rate must be below ``2 / lambda_max`` of
    the Hessian at the start (docs/explanation/physics.md §3); an unstable run ends as *diverged*.
    """
    dynamics = Descent(learning_rate)
    return _run(
        problem, loss, w0, dynamics, t_max, recovery_threshold, gradient_tolerance, records_per_decade,
        dtype, snapshots, device,
    )  # fmt: skip


def _run(
    problem: Problem,
    loss: Loss,
    w0: ArrayLike,
    dynamics: Flow | Descent,
    t_max: float,
    recovery_threshold: float,
    gradient_tolerance: float,
    records_per_decade: int,
    dtype: Literal["float32", "float64"],
    snapshots: bool,
    device: str,
) -> xr.Dataset:
    starts = _require_starts(w0, problem.N)
    times = record_times(t_max, records_per_decade)
    protocol = RunProtocol(
        dynamics,
        times,
        recovery_threshold,
        gradient_tolerance,
        dtype,
        snapshots=np.arange(len(times) if snapshots else 0),
        device=device,
    )
    runs = run_batch([problem], check_loss(loss), [starts], protocol).drop_vars("state")
    if snapshots:  # of every run at every record
        points = runs["snapshot"]
        runs = runs.drop_dims(["snapshot_run", "snapshot_time"])
        runs["snapshot"] = (("start", "time", "component"), points.values, points.attrs)
    return runs


def _require_starts(w0: ArrayLike, N: int) -> NDArray[np.float64]:
    """Starts as float64 rows, shape (count, N), after checking that their norms are plausible."""
    given = np.asarray(w0)
    if given.dtype.kind not in "fiu":
        raise TypeError(f"w0 holds {given.dtype}; starts are real numbers")
    starts = np.atleast_2d(given.astype(np.float64))
    if starts.ndim != 2 or starts.shape[1] != N or len(starts) == 0:
        raise ValueError(f"w0 has shape {given.shape}; starts for N = {N} have shape (count, {N})")
    with np.errstate(over="ignore"):
        ratios = np.linalg.norm(starts, axis=1) / np.sqrt(N)
    (astray,) = np.nonzero(~((ratios > 1 / _FARTHEST) & (ratios < _FARTHEST)))  # includes NaN
    if astray.size:
        row = int(astray[0])
        norm = (
            "is not finite" if not np.isfinite(starts[row]).all() else f"has norm {ratios[row] * N**0.5:.3g}"
        )
        raise ValueError(
            f"start {row} of w0 {norm}; starts lie on the sphere of radius sqrt(N) = {N**0.5:.4g}, "
            "for example pp.starts.random(problem, count=16, seed=0)"
        )
    return starts
