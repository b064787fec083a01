"""Gradient flow and gradient descent on one instance, for users.

See docs/explanation/physics.md §3.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from phasepipe.physics.arguments import require_flag, require_reals
from phasepipe.physics.batch import run_batch
from phasepipe.physics.loss_check import check_loss
from phasepipe.physics.losses import Loss
from phasepipe.physics.problem import Problem, require_problem
from phasepipe.physics.protocol import Descent, Flow, RunProtocol
from phasepipe.physics.record_times import record_times

_FARTHEST = 100.0  # largest accepted factor between the norm of a start and sqrt(N); starts are rescaled


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
    starts = _require_starts(w0, require_problem(problem).N)
    times = record_times(t_max, records_per_decade)
    protocol = RunProtocol(
        dynamics,
        times,
        recovery_threshold,
        gradient_tolerance,
        dtype,
        snapshots=np.arange(len(times) if require_flag("snapshots", snapshots) else 0),
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
    given = require_reals("w0", w0)
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
