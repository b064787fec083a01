"""Recovery from a given initial overlap for N to infinity, and the equivalent for random starts at finite N.

The equations with ``m(0) > 0`` are deterministic: a run either recovers, at a time that decreases with
``m(0)``, or it does not. Inverting this relation gives the critical overlap for a time budget. At finite N,
the shot noise before the overlap becomes large is treated as additional variance of the initial overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr, ndtri

from phasepipe.physics.losses import Loss
from phasepipe.theory.dynamics_grid import advance, choose_times, next_step, step_share
from phasepipe.theory.effective_process import EffectiveProcess
from phasepipe.theory.noise import GaussianVariables
from phasepipe.theory.quadrature import ConvergenceError, Floats

RECOVERED = 0.99
"""Overlap that counts as recovered, the engine's default."""
HORIZONS = (3.2, 10.0, 32.0, 101.0)
"""Times up to which warm starts are followed: the first that covers a budget is computed."""
_LARGEST, _SMALLEST, _RATIO = 0.8, 1e-5, 0.6  # initial overlaps
_BRACKET = 1.12  # target ratio of the smallest overlap that recovers to the largest that does not
_SPARE = 100  # time steps of a run with overlap beyond twice those of one without
_BEYOND = 2.0  # runs continue beyond the horizon by this factor, because recovery times differ between seeds
_QUARTILE = float(ndtri(0.75))


def half_size(critical_overlap: ArrayLike, start_variance: ArrayLike) -> Floats:
    """Dimension at which half of the random starts recover.

    Parameters
    ----------
    critical_overlap
        Initial overlap ``m_c`` that just recovers within the budget, any shape.
    start_variance
        ``S``: a random start acts like a Gaussian initial overlap of variance ``S / N``; broadcast with
        ``critical_overlap``.
    """
    return np.asarray(_QUARTILE**2 * np.asarray(start_variance) / np.asarray(critical_overlap) ** 2)


def success_at(N: ArrayLike, half: ArrayLike) -> Floats:
    """P(recovery) at dimension ``N``, with ``half`` from :func:`half_size`; broadcast, NaN where unknown."""
    return np.asarray(2 * ndtr(-_QUARTILE * np.sqrt(np.asarray(N, float) / np.asarray(half, float))))


@dataclass(frozen=True)
class WarmStarts:
    """Recovery against the initial overlap at one loss and alpha; rows are independent seeds.

    Attributes
    ----------
    alpha, horizon
        Measurements per dimension; longest time of the runs.
    initial_overlap
        Initial overlaps that recovered for every seed, increasing, shape (starts,).
    recovery_time
        Shape (seeds, starts), in units of time.
    start_variance
        ``S``, shape (seeds, starts): a random start at large N acts like an initial overlap of variance
        ``S / N``; the contribution 1 is from the random start, the rest is shot noise up to recovery.
    """

    alpha: float
    horizon: float
    initial_overlap: Floats
    recovery_time: Floats
    start_variance: Floats

    @property
    def times(self) -> tuple[float, float]:
        """Shortest and longest budget for which the critical overlap is known for every seed."""
        if self.initial_overlap.size < 2:
            return np.inf, -np.inf
        return float(self.recovery_time[:, -1].max()), float(self.recovery_time[:, 0].min())

    def critical(self, budget: float) -> tuple[Floats, Floats]:
        """Initial overlap that recovers exactly at this time, and ``S`` there, shape (seeds,) each.

        NaN outside ``times``.
        """
        first, last = self.times
        seeds = len(self.recovery_time)
        if not first <= budget <= last:
            return np.full(seeds, np.nan), np.full(seeds, np.nan)
        overlaps, variances = np.empty(seeds), np.empty(seeds)
        for seed in range(seeds):
            # recovery times decrease with the overlap, but noise may violate this between close neighbours
            times = np.minimum.accumulate(self.recovery_time[seed])
            keep = np.append(np.diff(times) < 0, True)
            log_times, logs = np.log(times[keep][::-1]), np.log(self.initial_overlap[keep][::-1])
            at = np.clip(np.log(budget), log_times[0], log_times[-1])
            overlaps[seed] = np.exp(PchipInterpolator(log_times, logs)(at))
            variances[seed] = np.interp(at, log_times, self.start_variance[seed][keep][::-1])
        return overlaps, variances

    def half_size(self, budget: float) -> Floats:
        """Dimension at which half of the random starts recover, shape (seeds,); NaN outside ``times``."""
        overlaps, variances = self.critical(budget)
        return half_size(overlaps, variances)

    def time_to_recover(self, overlap: float) -> Floats:
        """Recovery time from a given overlap, shape (seeds,); NaN outside the computed overlaps."""
        known = self.initial_overlap
        if known.size < 2 or not known[0] <= overlap <= known[-1]:
            return np.full(len(self.recovery_time), np.nan)
        curve = PchipInterpolator(np.log(known), np.log(self.recovery_time), axis=1)
        return np.asarray(np.exp(curve(np.log(overlap))))


def warm_starts(
    loss: Loss, alpha: float, horizon: float, accuracy: float, samples: int, seeds: int
) -> WarmStarts:
    """Follow starts of decreasing overlap until they fail to recover, then refine the smallest that recovers.

    Results are cached by their arguments if the loss is hashable.

    Raises
    ------
    ConvergenceError
        If the horizon needs too many time steps.
    """
    try:
        hash(loss)
    except TypeError:
        return _warm_starts.__wrapped__(loss, alpha, horizon, accuracy, samples, seeds)
    return _warm_starts(loss, alpha, horizon, accuracy, samples, seeds)  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def _warm_starts(
    loss: Loss, alpha: float, horizon: float, accuracy: float, samples: int, seeds: int
) -> WarmStarts:
    share, until = step_share(accuracy), _BEYOND * horizon
    times = choose_times(loss, alpha, until, share)
    linear = [_linear(loss, alpha, times, samples, seed) for seed in range(seeds)]

    def follow(overlap: float) -> list[tuple[float, float]]:
        found: list[tuple[float, float]] = []
        for seed in range(seeds):
            found.append(_follow(loss, alpha, until, share, samples, seed, overlap, linear[seed]))
            if not np.isfinite(found[-1][0]):
                break
        return found

    recovered: dict[float, list[tuple[float, float]]] = {}
    lower, upper = _SMALLEST, np.inf
    overlap = _LARGEST
    while overlap > _SMALLEST and upper > _BRACKET * lower:
        found = follow(overlap)
        if all(np.isfinite(time) for time, _ in found):
            recovered[overlap], upper = found, overlap
        else:
            lower = overlap
        if not recovered or min(time for time, _ in recovered[min(recovered)]) >= horizon:
            break
        overlap = np.sqrt(lower * upper) if lower > _SMALLEST else _RATIO * upper
    overlaps = np.array(sorted(recovered))
    table = np.array([recovered[overlap] for overlap in overlaps]).reshape(-1, seeds, 2)
    return WarmStarts(alpha, horizon, overlaps, table[:, :, 0].T, table[:, :, 1].T)


def _linear(loss: Loss, alpha: float, times: Floats, samples: int, seed: int) -> PchipInterpolator:
    """Amplification ``A`` and ``S = V / A²`` of small overlaps, over time."""
    variables = GaussianVariables(samples, len(times) + 1, seed, antithetic=False)
    process = EffectiveProcess(loss, alpha, variables, len(times))
    for step in np.diff(times):
        process.advance(step)
    amplification = process.amplification
    return PchipInterpolator(times, np.stack([amplification, process.variance / amplification**2]), axis=1)


def _follow(
    loss: Loss,
    alpha: float,
    until: float,
    share: float,
    samples: int,
    seed: int,
    overlap: float,
    linear: PchipInterpolator,
) -> tuple[float, float]:
    """Recovery time (infinite without recovery) and ``S`` along the path."""
    most = 2 * linear.x.size + _SPARE
    variables = GaussianVariables(samples, most + 1, seed, antithetic=True)
    process = EffectiveProcess(loss, alpha, variables, most, initial_overlap=overlap)
    times, overlaps, step = [0.0], [overlap], np.inf
    while overlaps[-1] < RECOVERED:
        if times[-1] >= until:
            return np.inf, np.nan
        if process.steps + 1 == most:
            raise ConvergenceError(
                f"a start with overlap {overlap:.3g} at alpha = {alpha:g} needs more than {most} time steps"
            )
        step = advance(process, next_step(process, times[-1], share, until, step))
        times.append(times[-1] + step)
        overlaps.append(float(process.overlap[process.steps]))
    # 1 - m decays exponentially near the end
    before, after = np.log1p(-overlaps[-2]), np.log1p(-min(overlaps[-1], 1 - 1e-12))
    time = times[-2] + (np.log1p(-RECOVERED) - before) / (after - before) * step
    return float(time), _start_variance(np.array(overlaps), *linear(np.minimum(times, until)))


def _start_variance(overlaps: Floats, amplification: Floats, variance: Floats) -> float:
    """``S`` along a path with these overlaps.

    Noise that enters when the overlap grows faster than a small overlap would is weighted by the inverse
    square of the ratio of the two growth factors. Growth refers to ``m / sqrt(1 - m²)``, which is unbounded.
    """
    tangent = overlaps / np.sqrt(np.maximum(1 - overlaps**2, 1e-12))
    ratio = tangent / (tangent[0] * amplification[: tangent.size])
    weight = 0.5 * (ratio[1:] ** -2 + ratio[:-1] ** -2)
    return float(1 + weight @ np.diff(variance[: tangent.size]))
