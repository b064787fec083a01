"""How well quantities that are known early predict the recovery of a run.

Starts of one instance share labels and sensing matrix, so every interval resamples whole instances.
The functions take arrays and return datasets; the caller must remove runs that diverged. Quantities should
be taken at one time common to all runs, for example the median t_BBP of the runs that lose their outlier.
The t_BBP of each run itself is not suitable: a run that recovers mostly keeps its outlier to the end, so its
t_BBP is infinite and already contains the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from phasepipe.variables import FATE, FATE_BINS, labelled

_WEIGHTS = 400_000  # bootstrap weights of runs at a time: they stay in the cache

Float64 = NDArray[np.float64]


def area_under_curve(quantity: ArrayLike, recovered: ArrayLike) -> float:
    """Probability that a recovered run has a larger ``quantity`` than another run (AUC; ties count half).

    Parameters
    ----------
    quantity, recovered
        Numbers (infinities allowed) and bools, shape (runs,).

    Returns
    -------
    Between 0 and 1, 0.5 for no relation; NaN if all runs or no runs recovered.
    """
    values, fate = np.asarray(quantity, dtype=np.float64), np.asarray(recovered, dtype=bool)
    wins = int(fate.sum())
    losses = fate.size - wins
    if wins == 0 or losses == 0:
        return np.nan
    # Mann-Whitney: rank sum of the recovered runs minus its smallest possible value
    return float((rankdata(values)[fate].sum() - wins * (wins + 1) / 2) / (wins * losses))


def fate_against(
    quantity: ArrayLike,
    recovered: ArrayLike,
    instance: ArrayLike,
    *,
    bins: int = 5,
    level: float = 0.95,
    resamples: int = 1000,
    rng: np.random.Generator,
) -> xr.Dataset:
    """P(recovered | early quantity) in bins of equal counts, and the AUC, with bootstrap intervals.

    Parameters
    ----------
    quantity
        Quantity known early (overlap at t_BBP, ``q_0``, length of the window), shape (runs,). Runs where it
        is NaN are omitted and counted.
    recovered
        Whether each run recovered, bool, shape (runs,).
    instance
        Integer or label of the instance of each run, shape (runs,).
    bins
        Number of quantile bins; bins that coincide because of ties are merged.
    level, resamples
        Nominal coverage, and number of bootstrap resamples of whole instances.
    rng
        Random generator of the bootstrap.

    Returns
    -------
    xarray.Dataset
        ``probability`` (bin), ``probability_low``, ``probability_high``, ``runs``, ``bin_low``,
        ``bin_high``, ``bin_median``, and scalars ``auc``, ``auc_low``, ``auc_high``, ``runs_left_out``.
        Intervals are NaN where the value is defined in fewer than half of the resamples.

    Raises
    ------
    ValueError
        If shapes differ, or fewer than two instances are left.
    """
    values = np.asarray(quantity, dtype=np.float64)
    fate, labels = np.asarray(recovered), np.asarray(instance)
    if not (values.shape == fate.shape == labels.shape and values.ndim == 1):
        raise ValueError(
            f"quantity {values.shape}, recovered {fate.shape} and instance {labels.shape} must be one "
            "dimension of runs each"
        )
    known = ~np.isnan(values)
    left_out = int((~known).sum())
    values, fate = values[known], fate[known].astype(bool)
    members, member = np.unique(labels[known], return_inverse=True)
    if len(members) < 2:
        raise ValueError(f"{len(members)} instance with a known quantity; intervals need at least 2")

    # "lower" picks values of the sample, so that infinities need no interpolation
    cuts = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="lower"))
    cuts = cuts[cuts < values.max()]
    which = np.searchsorted(cuts, values, side="left")  # bin b holds cuts[b - 1] < value <= cuts[b]
    count = cuts.size + 1

    ranked = _Ranked.of(values, fate, member, which, count)
    observed = ranked.measure(np.ones((1, len(members))))[0]
    low, high = _interval(_resampled(ranked.measure, member, resamples, rng), level)

    groups = [values[which == b] for b in range(count)]
    table = xr.Dataset(
        {
            "probability": ("bin", observed[:-1]),
            "probability_low": ("bin", low[:-1]),
            "probability_high": ("bin", high[:-1]),
            "runs": ("bin", [group.size for group in groups]),
            "bin_low": ("bin", [group.min() for group in groups]),
            "bin_median": ("bin", [np.quantile(group, 0.5, method="lower") for group in groups]),
            "bin_high": ("bin", [group.max() for group in groups]),
            "auc": ((), observed[-1]),
            "auc_low": ((), low[-1]),
            "auc_high": ((), high[-1]),
            "runs_left_out": ((), left_out),
        },
        attrs={"level": level, "resamples": resamples, "instances": len(members)},
    )
    return labelled(table, FATE | FATE_BINS)


def growth_of_area(
    early: ArrayLike,
    late: ArrayLike,
    recovered: ArrayLike,
    instance: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """How much larger the AUC of ``late`` is than that of ``early``, for the same runs.

    Both are taken in the same resamples, because their errors are strongly correlated.

    Parameters
    ----------
    early, late
        The quantity at two times, shape (runs,). Runs where one of them is NaN are omitted.
    recovered, instance, level, resamples, rng
        As in :func:`fate_against`.

    Returns
    -------
    Difference, and lower and upper end of its interval; NaN where they are not defined.
    """
    pair = np.asarray(early, np.float64), np.asarray(late, np.float64)
    known = ~np.isnan(pair[0]) & ~np.isnan(pair[1])
    fate = np.asarray(recovered, bool)[known]
    members, member = np.unique(np.asarray(instance)[known], return_inverse=True)
    ranked = [_Ranked.of(values[known], fate, member, np.zeros(fate.size, int), 1) for values in pair]

    def difference(weights: Float64) -> Float64:
        before, after = (of_time.measure(weights)[:, -1:] for of_time in ranked)
        return after - before

    replicas = _resampled(difference, member, resamples, rng)
    (low,), (high,) = _interval(replicas, level)
    return float(difference(np.ones((1, len(members))))[0, 0]), float(low), float(high)


def _resampled(
    measure: Callable[[Float64], Float64],
    member: NDArray[np.intp],
    resamples: int,
    rng: np.random.Generator,
) -> Float64:
    """``measure`` of bootstrap resamples of whole instances, shape (resamples, columns).

    ``member`` (runs,) is the instance of each run, numbered from 0.
    """
    members = int(member.max()) + 1
    draws = rng.multinomial(members, np.full(members, 1 / members), size=resamples).astype(np.float64)
    step = max(1, _WEIGHTS // member.size)
    return np.concatenate([measure(draws[first : first + step]) for first in range(0, resamples, step)])


@dataclass(frozen=True)
class _Ranked:
    """Runs sorted by their quantity, for evaluating many samples of weighted instances at once.

    Attributes
    ----------
    won, lost
        Instances of the runs that recovered, and of the others, in the order of the quantity.
    below, upto
        Number of other runs with a smaller quantity than each recovered run, and with at most its quantity.
    hits, totals
        Runs of each instance in each bin: those that recovered, and all; shape (instances, bins).
    """

    won: NDArray[np.intp]
    lost: NDArray[np.intp]
    below: NDArray[np.intp]
    upto: NDArray[np.intp]
    hits: Float64
    totals: Float64

    @classmethod
    def of(
        cls,
        values: Float64,
        fate: NDArray[np.bool_],
        member: NDArray[np.intp],
        which: NDArray[np.intp],
        count: int,
    ) -> _Ranked:
        order = np.argsort(values, kind="stable")
        ranked, recovered, instance = values[order], fate[order], member[order]
        winning, losing = ranked[recovered], ranked[~recovered]
        cells, shape = member * count + which, (int(member.max()) + 1, count)
        hits, totals = (
            np.bincount(chosen, minlength=shape[0] * count).reshape(shape).astype(np.float64)
            for chosen in (cells[fate], cells)
        )
        below, upto = (np.searchsorted(losing, winning, side) for side in ("left", "right"))
        return cls(instance[recovered], instance[~recovered], below, upto, hits, totals)

    def measure(self, weights: Float64) -> Float64:
        """Share of recovered runs in every bin and the AUC, for each row of ``weights`` (samples, instances).

        All sums are of whole numbers and exact, so that their order does not matter.
        """
        totals, hits = weights @ self.totals, weights @ self.hits
        shares = np.divide(hits, totals, out=np.full(hits.shape, np.nan), where=totals > 0)
        won = weights[:, self.won]
        losses = np.zeros((len(weights), self.lost.size + 1))
        np.cumsum(weights[:, self.lost], axis=1, out=losses[:, 1:])
        better = (won * (losses[:, self.below] + losses[:, self.upto])).sum(axis=1) / 2  # ties count half
        pairs = won.sum(axis=1) * losses[:, -1]
        auc = np.divide(better, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)
        return np.column_stack([shares, auc])


def _interval(replicas: Float64, level: float) -> tuple[Float64, Float64]:
    """Percentile bounds of each column, NaN where fewer than half of the replicas are defined."""
    bounds = np.full((2, replicas.shape[1]), np.nan)
    for column, replica in enumerate(replicas.T):
        defined = replica[~np.isnan(replica)]
        if 2 * defined.size >= replica.size:
            bounds[:, column] = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return bounds[0], bounds[1]
