"""Decisions with an error bar: Holm's correction, shares against a bound, differences paired by instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from phasepipe.analysis.counts import InstanceSums
from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.intervals import overdispersion

Floats = NDArray[np.float64]

LEVEL = 0.95  # of all intervals; simultaneous where several are compared
SIGNIFICANT = 1 - LEVEL  # p values, adjusted by Holm, below which an effect counts


def holm(p_values: ArrayLike) -> Floats:
    """P values adjusted for their number by Holm's method; NaN, a test that cannot be made, stays NaN."""
    values = np.asarray(p_values, float)
    known = np.isfinite(values)
    adjusted = np.full(values.shape, np.nan)
    if known.any():
        adjusted[known] = multipletests(values[known], method="holm")[1]
    return adjusted


def two_sided(effect: ArrayLike, error: ArrayLike) -> Floats:
    """P values of normal effects with these standard errors; NaN where the error is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(np.asarray(error, float) > 0, np.abs(effect) / np.asarray(error, float), np.nan)
    return np.asarray(2 * stats.norm.sf(z))


def signs(effect: ArrayLike, adjusted: ArrayLike) -> bool | None:
    """Whether effects are positive: all of them significantly, or one significantly negative, or neither."""
    values, significant = np.asarray(effect, float), np.asarray(adjusted, float) < SIGNIFICANT
    if values.size and (significant & (values > 0)).all():
        return True
    return False if (significant & (values < 0)).any() else None


def simultaneous_quantile(tests: int) -> float:
    """Normal quantile of two-sided intervals that hold all at once (Bonferroni)."""
    return float(stats.norm.isf((1 - LEVEL) / 2 / max(tests, 1)))


def simultaneous_student(tests: int, freedom: ArrayLike) -> Floats:
    """The same of Student's t, for errors estimated with so many degrees of freedom."""
    return np.asarray(stats.t.isf((1 - LEVEL) / 2 / max(tests, 1), freedom))


def welch_freedom(error: ArrayLike, number: ArrayLike, other_error: ArrayLike, other: ArrayLike) -> Floats:
    """Degrees of freedom of the difference of two means of so many values (Welch, Satterthwaite)."""
    first, second = np.asarray(error, float) ** 2, np.asarray(other_error, float) ** 2
    return np.asarray(
        (first + second) ** 2 / (first**2 / (np.asarray(number) - 1) + second**2 / (np.asarray(other) - 1))
    )


def within(low: ArrayLike, high: ArrayLike, margin: float) -> bool | None:
    """Whether intervals of differences are within a margin: all inside it, or one outside, or neither."""
    lower, upper = np.asarray(low, float), np.asarray(high, float)
    if ((lower > margin) | (upper < -margin)).any():
        return False
    return True if lower.size and ((lower > -margin) & (upper < margin)).all() else None


def undetected(adjusted: ArrayLike, low: ArrayLike, high: ArrayLike, margin: float) -> bool | None:
    """Whether no difference is detected: one significant (False), none and all intervals within the margin.

    A difference smaller than the margin is detected with enough runs: whether it matters is what
    :func:`within` says.
    """
    if (np.asarray(adjusted, float) < SIGNIFICANT).any():
        return False
    return True if within(low, high, margin) else None


def share_interval(count: float, runs: float, level: float = LEVEL) -> tuple[float, float]:
    """Clopper-Pearson interval of a share; both numbers may be fractions, of effective runs."""
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, count, runs - count + 1) if count > 0 else 0.0
    high = stats.beta.isf(tail, count + 1, runs - count) if count < runs else 1.0
    return float(low), float(high)


@dataclass(frozen=True)
class SharePool:
    """A share over several cells against a bound: number of runs, interval, and the decision."""

    count: float
    runs: float
    effective: float  # independent runs that carry as much information
    low: float
    high: float
    holds: bool | None

    @property
    def words(self) -> str:
        """``151 of 152 runs (99 % [95 %, 100 %], 80 effective runs)``."""
        if not self.runs:
            return "no runs"
        return (
            f"{self.count:.0f} of {self.runs:.0f} runs ({self.count / self.runs:.1%}, interval "
            f"{self.low:.1%} to {self.high:.1%} from {self.effective:.0f} effective runs)"
        )


def share_above(count: ArrayLike, runs: ArrayLike, design_effect: ArrayLike, bound: float) -> SharePool:
    """Whether a share over cells exceeds ``bound``.

    True if the Clopper-Pearson interval over all cells together lies above ``bound``; False if that interval
    lies below it, or if the share of one cell does (one-sided, Holm); None otherwise. Runs count divided by
    the design effect of their cell, since starts of one instance are correlated.
    """
    total, number = np.asarray(count, float), np.asarray(runs, float)
    effective = number / np.asarray(design_effect, float)
    known = number > 0
    hits = np.where(known, total / np.where(known, number, 1), 0.0) * effective
    low, high = share_interval(float(hits.sum()), float(effective.sum())) if known.any() else (0.0, 1.0)
    # P(at most this many hits | share = bound), continued to fractions
    below = np.where(
        hits < effective, stats.beta.sf(bound, hits + 1, np.maximum(effective - hits, 1e-9)), 1.0
    )
    failing = (holm(below[known]) < SIGNIFICANT).any()
    holds = False if failing or high < bound else (True if low > bound else None)
    return SharePool(float(total.sum()), float(number.sum()), float(effective.sum()), low, high, holds)


def design_effects(counts: xr.Dataset, N: int, group: int = 0) -> pd.Series:
    """Design effect of recovery at every alpha of one size: what the correlation of starts costs."""
    at = counts.isel(start_group=group).sel(N=N).transpose("alpha", "instance", ...)
    run = at.isel(alpha=np.flatnonzero(at["runs"].sum("instance").values))
    sums = InstanceSums.of(run["recovered"].values, run["runs"].values)
    return pd.Series(overdispersion(sums, pool_axes=(0,)).design_effect, index=run["alpha"].values)


@dataclass(frozen=True)
class PairedShare:
    """Mean difference of P(recovery) over the instances and alphas that two sets of runs share."""

    difference: float
    error: float
    p_value: float
    instances: int


def paired_share(
    counts: xr.Dataset, reference: xr.Dataset, N: int, group: int = 0, reference_group: int = 0
) -> PairedShare:
    """P(recovery) in ``counts`` less that in ``reference``, paired by instance (t test).

    Both must have drawn their instances from the same seed, or be kinds of start of one sweep. Every
    instance gives one number, its mean over the common alphas.
    """
    first, second = (
        (table.isel(start_group=index)["recovered"] / table.isel(start_group=index)["runs"]).sel(N=N)
        for table, index in ((counts, group), (reference, reference_group))
    )
    first, second = xr.align(first, second, join="inner")
    difference = (first - second).mean("alpha").values  # runs = 0 give NaN, which the mean leaves out
    difference = difference[np.isfinite(difference)]
    if difference.size < 2:
        return PairedShare(np.nan, np.nan, np.nan, difference.size)
    error = float(difference.std(ddof=1) / np.sqrt(difference.size))
    mean = float(difference.mean())
    p_value = float(2 * stats.t.sf(abs(mean) / error, difference.size - 1)) if error > 0 else float(mean == 0)
    return PairedShare(mean, error, p_value, difference.size)


def paired_correlation(
    counts: xr.Dataset,
    fit: CurveFit,
    reference: xr.Dataset,
    other: CurveFit,
    group: int = 0,
    reference_group: int = 0,
) -> float:
    """Correlation of two estimates of alpha_50 at one N whose instances are the same, by the jackknife.

    Leaving an instance out of both moves both crossings of 1/2, interpolated between neighbouring alphas;
    the correlation of these moves is that of the estimates.
    """
    moves = [
        _crossings_without(table.isel(start_group=index).sel(N=curve.N), curve.alpha_50)
        for table, index, curve in ((counts, group, fit), (reference, reference_group, other))
    ]
    joined = pd.concat(moves, axis=1, join="inner").dropna()
    if len(joined) < 3 or (joined.std() == 0).any():
        return 0.0
    return float(np.corrcoef(joined.to_numpy().T)[0, 1])


def _crossings_without(cells: xr.Dataset, alpha_50: float) -> pd.Series:
    """Where P passes 1/2 if one instance is left out, by instance."""
    run = cells.transpose("alpha", "instance", ...)
    run = run.isel(alpha=np.flatnonzero(run["runs"].sum("instance").values))
    alpha = run["alpha"].values
    left = int(np.clip(np.searchsorted(alpha, alpha_50) - 1, 0, len(alpha) - 2))
    recovered, runs = (run[name].values[left : left + 2].astype(float) for name in ("recovered", "runs"))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (recovered.sum(1)[:, None] - recovered) / (runs.sum(1)[:, None] - runs)
        crossing = alpha[left] + (0.5 - low) / (high - low) * (alpha[left + 1] - alpha[left])
    return pd.Series(np.where(np.isfinite(crossing), crossing, np.nan), index=run["instance"].values)
