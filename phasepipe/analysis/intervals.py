"""Success probability with an interval that accounts for the correlation of starts of one instance.

The model is quasi-binomial: the variance of ``p`` is ``design_effect * p (1 - p) / n`` with
``design_effect = 1 + rho (sum n_i^2 / n - 1)``, where ``rho`` is the intraclass correlation, estimated by
an analysis of variance (Ridout, Demetrio, Firth, Biometrics 55 (1999) 137) and pooled over cells.
If instances vary in difficulty, ``rho`` differs between cells. Therefore the design effect of each cell
(variance of a ratio of sums over instances) is shrunk towards the pooled one; the fewer recoveries or
failures a cell has, the stronger the shrinkage. The interval is Wilson's score interval at the effective
number of runs ``n / design_effect`` (Korn and Graubard, Survey Methodology 24 (1998) 193, in its score form).
With one run per instance this is Wilson's interval. The cluster bootstrap checks it without assuming ``rho``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from phasepipe.analysis.counts import FloatArray, InstanceSums

POOLED_WEIGHT = 25.0  # weight of the pooled design effect, in instances, relative to those of the cell


@dataclass(frozen=True)
class SuccessInterval:
    """Success probability of cells; every field has the shape of the cells. NaN for cells without runs."""

    probability: FloatArray
    lower: FloatArray
    upper: FloatArray
    correlation: FloatArray  # intraclass correlation rho of the starts of one instance
    design_effect: FloatArray  # variance divided by binomial variance


@dataclass(frozen=True)
class Overdispersion:
    """Intraclass correlation and design effect; every field has the shape of the cells."""

    correlation: FloatArray  # pooled
    design_effect: FloatArray  # of the cell, shrunk towards the pooled one
    degrees_of_freedom: FloatArray  # of the design effect; inf if instances have one run each


def overdispersion(sums: InstanceSums, pool_axes: tuple[int, ...] = ()) -> Overdispersion:
    """Correlation of the starts of one instance, and the resulting design effect.

    Parameters
    ----------
    sums
        Sums over instances, shape (...).
    pool_axes
        Axes of the cells over which ``rho`` is pooled. Cells with ``p`` near 1/2 have the largest weight;
        cells at ``p = 0`` or 1 contain no information on ``rho`` and use that of the other cells.
        By default every cell is treated separately.

    Notes
    -----
    If no cell of a pool has ``0 < p < 1`` and instances have several runs, ``rho`` cannot be estimated.
    It is then set to 1, which gives the widest interval: as many independent runs as instances.
    """
    instances, n, k = sums.instances, sums.runs, sums.recovered
    with np.errstate(divide="ignore", invalid="ignore"):
        excess_runs = np.where(n > 0, sums.runs_squared / n - 1, 0.0)
        within = np.where(n > instances, (k - sums.between) / (n - instances), 0.0)
        spread = n - sums.runs_squared / n
        usable = (n > instances) & (instances > 1)
        weight = np.where(usable, instances - 1, 0.0)
        signal = np.where(usable, (sums.between - k * k / n - weight * within) / spread, 0.0)
        variance = np.where(n > 0, k / n * (1 - k / n), 0.0)

        def pooled(values: FloatArray) -> FloatArray:
            return (
                np.broadcast_to(np.sum(values, axis=pool_axes, keepdims=True), values.shape)
                if pool_axes
                else values
            )

        rho = pooled(weight * signal) / pooled(weight * (signal + within))
        # Satterthwaite: cells contribute to the estimate in proportion to p (1 - p)
        freedom = pooled(weight * variance) ** 2 / pooled(weight * variance**2)
    unknown = ~(np.isfinite(rho) & np.isfinite(freedom))
    rho = np.where(unknown, 1.0, np.clip(rho, 0.0, 1.0))
    needed = excess_runs > 0
    effect = 1 + rho * excess_runs
    freedom = np.where(needed & ~unknown, freedom, np.inf)
    if pool_axes:
        with np.errstate(divide="ignore", invalid="ignore"):
            # variance of k_i - p n_i over instances, divided by its binomial value
            own = (sums.between - k * k / n) / ((instances - 1) * variance)
        events = np.minimum(np.minimum(k, n - k), np.maximum(instances - 1, 0))
        usable = np.isfinite(own) & needed & (events > 0)
        weight = np.where(usable, events, 0.0)
        shrunk = (POOLED_WEIGHT * effect + weight * np.where(usable, own, 0.0)) / (POOLED_WEIGHT + weight)
        effect = np.where(needed, np.maximum(shrunk, 1.0), effect)
        freedom = np.where(usable, np.minimum(freedom, POOLED_WEIGHT + weight), freedom)
    return Overdispersion(
        correlation=np.where(needed, rho, np.nan),
        design_effect=effect,
        degrees_of_freedom=freedom,
    )


def interval_from_sums(
    sums: InstanceSums,
    *,
    level: float = 0.95,
    pool_axes: tuple[int, ...] = (),
) -> SuccessInterval:
    """Success probability with its interval from sums over instances; see :func:`success_interval`."""
    if not 0 < level < 1:
        raise ValueError(f"level = {level} is not a confidence level; use for example 0.95")
    dispersion = overdispersion(sums, pool_axes)
    computed = sums.runs > 0
    runs = np.where(computed, sums.runs, 1.0)
    effective = runs / dispersion.design_effect
    probability = np.where(computed, sums.recovered / runs, np.nan)
    critical = stats.t.isf((1 - level) / 2, dispersion.degrees_of_freedom)
    # statsmodels uses normal quantiles: pass the level whose normal quantile is the critical value of t
    lower, upper = proportion_confint(
        np.where(computed, probability, 0.0) * effective,
        effective,
        alpha=2 * stats.norm.sf(critical),
        method="wilson",
    )
    # set the ends exactly where no run or every run recovered
    lower = np.where(sums.recovered == 0, 0.0, lower)
    upper = np.where(sums.recovered == sums.runs, 1.0, upper)
    return SuccessInterval(
        probability=probability,
        lower=np.where(computed, lower, np.nan),
        upper=np.where(computed, upper, np.nan),
        correlation=dispersion.correlation,
        design_effect=dispersion.design_effect,
    )


def success_interval(
    recovered: ArrayLike,
    runs: ArrayLike,
    *,
    level: float = 0.95,
    pool_axes: tuple[int, ...] = (),
) -> SuccessInterval:
    """Success probability of cells from counts by instance.

    Parameters
    ----------
    recovered, runs
        Recoveries and runs of every instance, shape (..., instance); ``runs == 0`` marks an
        instance that was not computed.
    level
        Nominal coverage.
    pool_axes
        Axes of the cells (...) over which the correlation is pooled, usually that of alpha.

    Returns
    -------
    SuccessInterval
        Arrays of shape (...).

    Raises
    ------
    ValueError
        If ``recovered`` exceeds ``runs`` or is negative, or ``level`` is not between 0 and 1.
    """
    return interval_from_sums(InstanceSums.of(recovered, runs), level=level, pool_axes=pool_axes)


def bootstrap_interval(
    recovered: ArrayLike,
    runs: ArrayLike,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    replicates: int = 2000,
) -> tuple[float, float]:
    """Percentile interval of the success probability of one cell, resampling whole instances.

    It makes no assumption about the correlation, but needs about twenty instances, and has zero width at
    ``p = 0`` or 1. Use it to check :func:`success_interval`, not to replace it. Each resample has one
    instance fewer than the sample (Rao and Wu 1988).
    """
    k, n = (np.asarray(values, dtype=float) for values in (recovered, runs))
    k, n = k[n > 0], n[n > 0]
    if len(k) < 2:
        raise ValueError(
            f"{len(k)} instance cannot be resampled; a bootstrap over instances needs at least 2"
        )
    draws = rng.integers(len(k), size=(replicates, len(k) - 1))
    estimates = k[draws].sum(-1) / n[draws].sum(-1)
    lower, upper = np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)
