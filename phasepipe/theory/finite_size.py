"""Success probability at finite N without fitted parameters (docs/explanation/dynamics.md).

At finite N a random start has an overlap of order ``N^-1/2``, to which the shot noise of the labels adds.
Together they act like a Gaussian initial overlap of variance ``S / N``. The run recovers within a budget if
this overlap exceeds the critical overlap ``m_c`` of N to infinity: ``P = 2 Phi(-m_c sqrt(N / S))``.
Fluctuations of order ``N^-1/2`` later in the run are neglected; they matter at late times.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from phasepipe.physics.losses import Loss
from phasepipe.theory.dynamics import require_settings
from phasepipe.theory.quadrature import ConvergenceError, Floats
from phasepipe.theory.requirements import require_even, require_number
from phasepipe.theory.warm_starts import HORIZONS, WarmStarts, half_size, success_at, warm_starts

ALPHA_SPACING = 0.25
"""Spacing of the alphas between which :func:`alpha_50` interpolates."""
LARGEST_ALPHA = 12.0
SAMPLES = 2**14
ACCURACY = 0.03
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Predicted:
    """A value with its standard error from independent seeds and time steps; NaN if unknown."""

    value: float
    error: float


def success_probability(
    loss: Loss,
    alpha: float,
    N: int,
    budget: float,
    *,
    accuracy: float = ACCURACY,
    samples: int = SAMPLES,
    seeds: int = 2,
) -> Predicted:
    """Probability that a random start recovers within a time budget.

    Parameters
    ----------
    loss
        Any loss that is even in ``yhat`` and ``y``.
    alpha, N
        Measurements per dimension, positive, and dimension, at least 2.
    budget
        Time at which ``|m|`` must have passed 0.99.
    accuracy, samples, seeds
        As for :func:`phasepipe.theory.dynamics`.

    Returns
    -------
    Predicted
        NaN, with a warning, if the budget lies outside the computed range. A budget that is too short for any
        start gives 0, with an upper bound of the probability as error.

    Raises
    ------
    TypeError, ValueError
        If the loss is not even or a number is out of range.
    """
    _require_size(N)
    known = _known(loss, alpha, budget, accuracy, samples, seeds)
    if known is None:
        return _unknown(
            f"success at t = {budget:g} was not computed: predictions reach t = {HORIZONS[-1]:g}, and less "
            "where they need too many time steps"
        )
    half = known.half_size(budget)
    if np.isfinite(half).all():
        # the steps change the critical overlap by the accuracy, and so half of the sizes by twice as much
        steps = float(np.mean(success_at(N, half) - success_at(N * (1 + accuracy) ** 2, half)))
        return _joined(success_at(N, half), steps)
    if known.initial_overlap.size and budget < known.times[0]:
        bound = float(success_at(N, half_size(known.initial_overlap[-1], known.start_variance.max())))
        if bound < _NEGLIGIBLE:
            return Predicted(0.0, bound)
    return _unknown(_outside(known, budget))


def alpha_50(
    loss: Loss,
    N: int,
    budget: float,
    *,
    accuracy: float = ACCURACY,
    samples: int = SAMPLES,
    seeds: int = 2,
) -> Predicted:
    """Measurements per dimension at which half of the random starts recover within a time budget.

    Parameters and exceptions are those of :func:`success_probability`. The value is interpolated on a grid of
    alphas with spacing 0.25, of which only the necessary ones are computed.
    """
    _require_size(N)
    margins: dict[float, Floats | None] = {}

    def margin(alpha: float) -> Floats | None:
        """Log of (size at which P is one half) / N, per seed; positive above ``alpha_50``."""
        if alpha not in margins:
            known = _known(loss, alpha, budget, accuracy, samples, seeds)
            half = None if known is None else known.half_size(budget)
            margins[alpha] = np.log(half / N) if half is not None and np.isfinite(half).all() else None
        return margins[alpha]

    def above(alpha: float) -> bool:
        found = margin(alpha)
        return found is not None and bool(found.mean() > 0)

    alpha = 3.0
    step = -ALPHA_SPACING if above(alpha) else ALPHA_SPACING
    started = above(alpha)
    while above(alpha + step) == started:
        alpha += step
        if not ALPHA_SPACING < alpha < LARGEST_ALPHA:
            return _unknown(
                f"alpha_50 at N = {N:g}, t = {budget:g} does not lie between {ALPHA_SPACING:g} and "
                f"{LARGEST_ALPHA:g}"
            )
    low = min(alpha, alpha + step)
    around = [low + ALPHA_SPACING * place for place in (-1, 0, 1, 2)]
    for point in around:
        margin(point)
    points = np.array([point for point in around if margins.get(point) is not None])
    if low not in points:
        return _unknown(
            f"alpha_50 at N = {N:g}, t = {budget:g} lies below {low + ALPHA_SPACING:g}, where no start "
            "recovers in time"
        )
    curves = PchipInterpolator(points, np.array([margins[point] for point in points]))
    found = _crossings(curves, points[0], points[-1])
    if found is None:
        return _unknown(f"alpha_50 at N = {N:g}, t = {budget:g} is not bracketed for every seed")
    roots, slope = found
    return _joined(roots, 2 * accuracy / max(slope, 1e-6))


def budget_50(
    loss: Loss,
    alpha: float,
    N: int,
    *,
    longest: float = 31.6,
    accuracy: float = ACCURACY,
    samples: int = SAMPLES,
    seeds: int = 2,
) -> Predicted:
    """Time budget within which half of the random starts recover.

    Parameters and exceptions are those of :func:`success_probability`; ``longest`` is the largest budget
    that is considered.
    """
    _require_size(N)
    known = _known(loss, alpha, longest, accuracy, samples, seeds)
    if known is None or known.times[0] >= known.times[1]:
        return _unknown(f"no start at alpha = {alpha:g} recovers by t = {longest:g}")
    first, last = known.times

    def margins(log_time: float) -> Floats:
        return np.log(known.half_size(float(np.clip(np.exp(log_time), first, last))) / N)

    found = _crossings(margins, np.log(first), np.log(last))
    if found is None:
        return _unknown(
            f"half of the starts at alpha = {alpha:g}, N = {N:g} do not recover at a time between "
            f"{first:.3g} and {last:.3g}, the range computed"
        )
    times, slope = np.exp(found[0]), found[1]
    return _joined(times, float(times.mean()) * 2 * accuracy / max(slope, 1e-6))


def recovery_time(
    loss: Loss,
    alpha: float,
    initial_overlap: float,
    *,
    longest: float = 31.6,
    accuracy: float = ACCURACY,
    samples: int = SAMPLES,
    seeds: int = 2,
) -> Predicted:
    """Time at which a warm start recovers for N to infinity.

    Parameters and exceptions are those of :func:`success_probability`; ``initial_overlap`` lies in (0, 1).
    NaN, with a warning, for overlaps that do not recover by ``longest`` or are larger than 0.8.
    """
    require_number("initial_overlap", initial_overlap, "0.3")
    if not 0 < initial_overlap < 1:
        raise ValueError(f"initial_overlap = {initial_overlap!r} lies outside (0, 1); take for example 0.3")
    known = _known(loss, alpha, longest, accuracy, samples, seeds)
    times = np.array([np.nan]) if known is None else known.time_to_recover(initial_overlap)
    if known is None or not np.isfinite(times).all():
        return _unknown(
            f"a start with overlap {initial_overlap:g} at alpha = {alpha:g} has no recovery time in the "
            f"range computed, t <= {longest:g} and overlaps up to 0.8"
        )
    return _joined(times, float(times.mean()) * accuracy)


def _known(
    loss: Loss, alpha: float, budget: float, accuracy: float, samples: int, seeds: int
) -> WarmStarts | None:
    """Warm starts up to the first horizon that covers the budget, None if none does."""
    loss = require_even(loss)
    require_number("budget", budget, "10")
    if not budget > 0:
        raise ValueError(f"budget = {budget!r} is not positive; take for example 10")
    require_settings(alpha, min(budget, HORIZONS[-1]), 0.0, samples, seeds, accuracy)
    covering = [horizon for horizon in HORIZONS if horizon >= budget]
    if not covering:
        return None
    try:
        return warm_starts(loss, float(alpha), covering[0], accuracy, samples, seeds)
    except ConvergenceError:
        return None


def _crossings(margins: Callable[[float], Floats], low: float, high: float) -> tuple[Floats, float] | None:
    """Where the margin of each seed becomes positive, shape (seeds,), and the mean slope there.

    None unless the ends bracket the change for every seed.
    """
    if not ((margins(low) < 0).all() and (margins(high) > 0).all()):
        return None

    def margin(x: float, seed: int) -> float:
        return float(margins(x)[seed])

    near = 0.01 * (high - low)
    roots, slopes = [], []
    for seed in range(len(margins(low))):
        root = float(brentq(margin, low, high, args=(seed,), xtol=1e-6))
        before, after = max(low, root - near), min(high, root + near)
        slopes.append((margin(after, seed) - margin(before, seed)) / (after - before))
        roots.append(root)
    return np.array(roots), float(np.mean(slopes))


def _require_size(N: int) -> None:
    require_number("N", N, "1024")
    if not N >= 2:
        raise ValueError(f"N = {N!r} is too small: the sphere needs N of at least 2")


def _joined(values: Floats, steps: float) -> Predicted:
    error = np.sqrt(values.var(ddof=1) / len(values) + steps**2)
    return Predicted(float(values.mean()), float(error))


def _outside(known: WarmStarts, budget: float) -> str:
    if known.initial_overlap.size < 2:
        return f"no start at alpha = {known.alpha:g} recovers by t = {known.horizon:g}"
    first, last = known.times
    return (
        f"the budget t = {budget:g} lies outside the range computed at alpha = {known.alpha:g}, "
        f"{first:.3g} to {last:.3g}"
    )


def _unknown(sentence: str) -> Predicted:
    warnings.warn(sentence, stacklevel=3)
    return Predicted(np.nan, np.nan)
