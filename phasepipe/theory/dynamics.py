"""Gradient flow for N to infinity: dynamical mean-field theory (docs/explanation/dynamics.md).

The two-time functions of the flow satisfy closed equations with averages over an effective process of one
measurement. The equations are solved forward in time with samples of that process. Errors are estimated from
independent sets of samples and from a grid with steps twice as long.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasepipe.physics.losses import Loss
from phasepipe.theory.dynamics_grid import choose_times, step_share
from phasepipe.theory.dynamics_path import Path, follow
from phasepipe.theory.quadrature import Floats
from phasepipe.theory.requirements import require_even, require_number

FEWEST_SAMPLES, MOST_SAMPLES = 1 << 8, 1 << 20
LONGEST_TIME, LARGEST_ALPHA = 1e4, 100.0
_REFINEMENTS = 1
_STEP_ERROR = 0.5  # error relative to the difference to steps twice as long; 1/3 at second order, 1 at first
_SMOOTHING = 0.5  # width in log(time) for smoothing error estimates, which are noisy for two seeds
_DECIDING = ("energy", "amplification", "overlap")  # quantities that must reach the accuracy

_TIME = {"long_name": "time", "units": "t"}
_LONG_NAMES = {
    "energy": "training loss over N, alpha <l>",
    "mu": "Lagrange multiplier of the sphere, alpha <l' yhat>",
    "correlation": "correlation C(t, s) = w(t).w(s) / N",
    "response": "response R(t, s) of w(t) to a force at the earlier time s, averaged over components",
    "overlap": "overlap m with the signal",
    "amplification": "amplification A(t) of a small initial overlap",
    "overlap_variance": "variance N E[m²] of the overlap from random starts",
    "edge": "left edge of the bulk of the Hessian",
    "outlier": "signal outlier of the Hessian; NaN where none exists",
    "outlier_overlap": "squared overlap of the outlier's eigenvector with the tangent signal direction",
    "bbp_margin": "margin of the BBP transition; positive where the outlier exists",
    "t_bbp": "time at which the outlier ceases to exist; NaN without one, infinite if it outlives t_max",
}


def dynamics(
    loss: Loss,
    alpha: float,
    t_max: float,
    *,
    initial_overlap: float = 0.0,
    samples: int = 2**15,
    seeds: int = 2,
    accuracy: float = 0.01,
) -> xr.Dataset:
    """Gradient flow on the sphere for N to infinity, from a random start or a start with given overlap.

    Parameters
    ----------
    loss
        Any loss that is even in ``yhat`` and ``y``.
    alpha
        Measurements per dimension, positive and at most 100.
    t_max
        Last time, in the units of docs/explanation/physics.md §3; at most 10,000.
    initial_overlap
        ``m(0)`` in [0, 1). Zero is a random start for N to infinity, whose overlap stays zero; the behaviour
        at finite N is described by ``amplification`` and ``overlap_variance``.
    samples
        Samples of the effective process, a power of two from 256 to 1,048,576.
    seeds
        Independent repetitions, at least 2.
    accuracy
        Target relative error of energy, amplification and overlap; it determines the time steps. If it is not
        reached, a warning suggests what to change.

    Returns
    -------
    Dataset with dimensions (time, earlier, sample)

    * over (time): ``energy`` and ``mu`` per N, ``overlap``, ``amplification``, ``overlap_variance`` (NaN if
      ``initial_overlap`` is not 0), ``edge``, ``outlier``, ``outlier_overlap``, ``bbp_margin``;
    * over (time, earlier): ``correlation``, ``response`` (0 for ``earlier`` > ``time``);
    * ``t_bbp``, in units of time;
    * ``label`` (sample) and ``yhat`` (time, sample): samples of the effective process, from the first seed;
    * for all but the last two, ``<name>_error``: one standard error of the mean over seeds, combined in
      quadrature with the error of the time steps.

    The attributes ``accuracy_reached`` (largest relative error of these quantities over all times) and
    ``accuracy_met`` (0 or 1) say whether the accuracy was reached.

    Raises
    ------
    TypeError, ValueError
        If the loss lacks a method or is not even, or a number is out of range.
    ConvergenceError
        If more than 1200 time steps are needed, or a step cannot be solved.

    Notes
    -----
    The work is of order samples x steps³; see docs/explanation/dynamics.md.
    """
    loss = require_even(loss)
    require_settings(alpha, t_max, initial_overlap, samples, seeds, accuracy)
    share = step_share(accuracy)
    for refinement in range(_REFINEMENTS + 1):
        times = choose_times(loss, alpha, t_max, share, initial_overlap)
        coarse = follow(loss, alpha, times[::2], samples, 0, initial_overlap)
        first = follow(loss, alpha, times, samples, 0, initial_overlap, every=2)
        worst = max(
            _relative(_STEP_ERROR * np.abs(first.series[name] - coarse.series[name]), first.series[name])
            for name in _deciding(initial_overlap)
        )
        if worst <= accuracy or refinement == _REFINEMENTS:
            break
        share *= max(0.5, 0.8 * np.sqrt(accuracy / worst))
    others = [follow(loss, alpha, times, samples, seed, initial_overlap, every=2) for seed in range(1, seeds)]
    others_coarse = [
        follow(loss, alpha, times[::2], samples, seed, initial_overlap) for seed in range(1, seeds)
    ]
    result = _assemble(times[::2], [first, *others], [coarse, *others_coarse])
    _judge(result, accuracy, initial_overlap)
    result.attrs |= {
        "alpha": alpha,
        "loss": repr(loss),
        "initial_overlap": initial_overlap,
        "samples": samples,
        "seeds": seeds,
        "time_steps": len(times) - 1,
        "source": "docs/explanation/dynamics.md",
    }
    return result


def require_settings(
    alpha: float, t_max: float, initial_overlap: float, samples: int, seeds: int, accuracy: float
) -> None:
    """Check the arguments of :func:`dynamics`.

    Raises
    ------
    TypeError
        If one is not a number, or ``samples`` or ``seeds`` not an integer.
    ValueError
        If a number is out of range; the message gives the valid range.
    """
    require_number("alpha", alpha, "3.0")
    require_number("t_max", t_max, "10")
    require_number("initial_overlap", initial_overlap, "0.1")
    require_number("accuracy", accuracy, "0.01")
    require_number("samples", samples, "2**15", integer=True)
    require_number("seeds", seeds, "2", integer=True)
    if not 0 < alpha <= LARGEST_ALPHA:
        raise ValueError(
            f"alpha = {alpha!r} measurements per dimension lies outside (0, {LARGEST_ALPHA:g}]; "
            "take for example 3.0"
        )
    if not 0 < t_max <= LONGEST_TIME:
        raise ValueError(f"t_max = {t_max!r} lies outside (0, {LONGEST_TIME:g}]; take for example 10")
    if not 0 <= initial_overlap < 1:
        raise ValueError(
            f"initial_overlap = {initial_overlap!r} lies outside [0, 1); take 0 for a random start"
        )
    if not FEWEST_SAMPLES <= samples <= MOST_SAMPLES or samples & (samples - 1):
        raise ValueError(
            f"samples = {samples!r} is not a power of two from {FEWEST_SAMPLES} to {MOST_SAMPLES}; "
            "take for example 2**15"
        )
    if seeds < 2:
        raise ValueError(f"seeds = {seeds!r} leaves nothing to tell the error from; take at least 2")
    if not 1e-4 <= accuracy <= 0.2:
        raise ValueError(f"accuracy = {accuracy!r} lies outside [1e-4, 0.2]; take for example 0.01")


def _deciding(initial_overlap: float) -> list[str]:
    unknown = "overlap" if initial_overlap == 0 else "amplification"
    return [name for name in _DECIDING if name != unknown]


def _relative(error: Floats, value: Floats) -> float:
    scale = np.maximum(np.abs(value), 1e-3 * np.abs(value).max())  # the energy of a recovered run is zero
    return float(np.max(error / scale))


def _assemble(times: Floats, paths: Sequence[Path], coarse: Sequence[Path]) -> xr.Dataset:
    """Means over seeds; errors from the spread of the seeds, and from steps twice as long (``coarse``).

    The samples of both grids differ, so that every seed has both: the mean difference is less noisy.
    """
    result = xr.Dataset(coords={"time": ("time", times, _TIME), "earlier": ("earlier", times, _TIME)})
    for name in paths[0].series:
        values, longer = (np.stack([path.series[name] for path in of]) for of in (paths, coarse))
        spread = _smooth(times, values.var(axis=0, ddof=1) / len(paths))
        step = _smooth(times, (_STEP_ERROR * (values - longer).mean(axis=0)) ** 2)
        _put(result, name, ("time",), values.mean(axis=0), np.sqrt(spread + step))
    for name in paths[0].two_time:
        values, longer = (np.stack([path.two_time[name] for path in of]) for of in (paths, coarse))
        step = _STEP_ERROR * (values - longer).mean(axis=0)
        error = np.sqrt(values.var(axis=0, ddof=1) / len(paths) + step**2)
        _put(result, name, ("time", "earlier"), values.mean(axis=0), error)
    crossings, later = (np.array([path.t_bbp for path in of]) for of in (paths, coarse))
    with np.errstate(invalid="ignore"):
        step = _STEP_ERROR * (crossings - later).mean()
        error = np.sqrt(crossings.var(ddof=1) / len(paths) + step**2)
    agree = np.isposinf(crossings).all() and np.isposinf(later).all()
    _put(result, "t_bbp", (), crossings.mean(), np.asarray(0.0 if agree else error))
    result["label"] = ("sample", paths[0].label, {"long_name": "label y", "units": "1"})
    result["yhat"] = (("time", "sample"), paths[0].yhat, {"long_name": "prediction yhat", "units": "1"})
    return result


def _put(result: xr.Dataset, name: str, dims: tuple[str, ...], value: Floats, error: Floats) -> None:
    units = "t" if name == "t_bbp" else "1"
    result[name] = (dims, value, {"long_name": _LONG_NAMES[name], "units": units})
    text = f"standard error of {name}, from seeds and time steps"
    result[f"{name}_error"] = (dims, error, {"long_name": text, "units": units})


def _smooth(times: Floats, squares: Floats) -> Floats:
    """Average squared errors over neighbors in log(time); NaN stay NaN."""
    logs = np.log(np.maximum(times, times[1]))
    near = np.exp(-0.5 * ((logs[:, None] - logs) / _SMOOTHING) ** 2)
    known = np.isfinite(squares)
    mean = near[:, known] @ squares[known] / np.maximum(near[:, known].sum(axis=1), 1e-300)
    return np.where(known, mean, np.nan)


def _judge(result: xr.Dataset, accuracy: float, initial_overlap: float) -> None:
    worst = {
        name: _relative(result[f"{name}_error"].values, result[name].values)
        for name in _deciding(initial_overlap)
    }
    name = max(worst, key=lambda name: worst[name])
    result.attrs |= {
        "accuracy": accuracy,
        "accuracy_reached": worst[name],
        "accuracy_met": int(worst[name] <= accuracy),
    }
    if worst[name] > accuracy:
        warnings.warn(
            f"the accuracy {accuracy:g} was not reached: the relative error of {name} grows to "
            f"{worst[name]:.2g}; take more samples or seeds, a shorter time, or be content with it",
            stacklevel=3,
        )
