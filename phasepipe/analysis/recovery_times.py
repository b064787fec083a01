"""Recovery times of single runs as survival data, from the arrays of a sweep or of a reduced one.

A run that recovered has a first-passage time; a run that is certified trapped never recovers; an undecided
run is censored at its end time. As long as no run is censored before T, P(T) is a simple proportion. Beyond
that, the product-limit estimator is used: each recovery is weighted to represent runs that were censored
before it (redistribution to the right, Efron 1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from statsmodels.duration.survfunc import SurvfuncRight

from phasepipe.analysis.counts import Cells, FloatArray, InstanceSums
from phasepipe.physics.outcomes import Outcome
from phasepipe.variables import RECOVERY, labelled

RUN = ("alpha", "instance", "start")


@dataclass(frozen=True)
class RecoveryTimes:
    """Runs of one size. Arrays over runs have shape (alpha, instance, start)."""

    N: int
    alpha: FloatArray
    time: FloatArray  # first passage of recovered runs, end of undecided ones, infinite for trapped ones
    recovered: NDArray[np.bool_]
    counted: NDArray[np.bool_]  # computed and not diverged

    @classmethod
    def of(cls, outcome: xr.DataArray, recovery_time: xr.DataArray, end_time: xr.DataArray) -> RecoveryTimes:
        """From arrays with dims ``alpha, instance, start`` and ``N`` as scalar coordinate."""
        kind = outcome.transpose(*RUN).values
        recovered = kind == Outcome.RECOVERED
        time = np.where(recovered, recovery_time.transpose(*RUN).values, end_time.transpose(*RUN).values)
        time = np.where(kind == Outcome.TRAPPED, np.inf, time).astype(float)
        counted = (kind != Outcome.PENDING) & (kind != Outcome.DIVERGED)
        if np.isnan(time[counted]).any():
            raise ValueError("a valid run has no time; recovered runs need recovery_time, others end_time")
        order = np.argsort(outcome["alpha"].values)
        return cls(
            int(outcome["N"]), outcome["alpha"].values[order].astype(float), time[order], recovered[order],
            counted[order],
        )  # fmt: skip

    @property
    def horizon(self) -> float:
        """Smallest end time of the undecided runs; the last recovery time if there are none."""
        undecided = self.counted & ~self.recovered & np.isfinite(self.time)
        last = self.time[self.recovered].max(initial=0.0)
        return float(self.time[undecided].min()) if undecided.any() else float(last)

    @property
    def longest(self) -> float:
        """Largest time budget that the runs cover; infinite if no run is undecided."""
        undecided = self.counted & ~self.recovered & np.isfinite(self.time)
        return float(self.time[np.isfinite(self.time)].max()) if undecided.any() else np.inf

    def undecided_share(self, budget: float) -> FloatArray:
        """Share of the runs neither recovered by ``budget`` nor certified trapped, shape (alpha,)."""
        open_ = self.counted & np.isfinite(self.time) & ~(self.recovered & (self.time <= budget))
        return np.asarray(open_.sum((1, 2)) / self.counted.sum((1, 2)))

    def weights(self) -> FloatArray:
        """Number of runs that each recovery represents: 1 unless runs were censored before it."""
        weight = np.zeros(self.time.shape)
        beyond = 2 * self.time[np.isfinite(self.time)].max(initial=1.0)
        for cell in range(len(self.alpha)):
            counted, recovered = self.counted[cell], self.recovered[cell] & self.counted[cell]
            if not recovered.any():
                continue
            time = np.where(np.isfinite(self.time[cell]), self.time[cell], beyond)
            curve = SurvfuncRight(time[counted], recovered[counted].astype(int))
            jumps = -np.diff(curve.surv_prob, prepend=1.0) * counted.sum()
            events = np.bincount(
                np.searchsorted(curve.surv_times, time[recovered]), minlength=len(curve.surv_times)
            )
            each = jumps / np.maximum(events, 1)
            weight[cell][recovered] = each[np.searchsorted(curve.surv_times, time[recovered])]
        return weight

    def cells(self, weight: FloatArray) -> Cells:
        """Sums over instances, with recoveries weighted by ``weight``; empty cells are omitted."""
        k, n = weight.sum(-1), self.counted.sum(-1).astype(float)
        kept = n.sum(-1) > 0
        k, n = k[kept], n[kept]
        between = np.divide(k * k, n, out=np.zeros_like(k), where=n > 0).sum(-1)
        sums = InstanceSums((n > 0).sum(-1).astype(float), n.sum(-1), k.sum(-1), (n * n).sum(-1), between)
        return Cells(self.N, self.alpha[kept], sums)


def recovery_table(runs: xr.Dataset) -> xr.Dataset:
    """What is kept of every run of one size and kind of start: the arrays ``RECOVERY``.

    Times are rounded up to single precision. A count of the recoveries within T therefore stays exact for
    every T that single precision represents, such as 10, 0.5 or 10000.

    Parameters
    ----------
    runs
        ``outcome, recovery_time, end_time`` with dims ``alpha, instance, start``.
    """
    kept = {"outcome": runs["outcome"].astype(np.uint8)}
    for name in ("recovery_time", "end_time"):
        exact = runs[name]
        single = exact.astype(np.float32)
        kept[name] = single.where(~(single < exact), np.nextafter(single, np.float32(np.inf)))
    table = xr.Dataset({name: values.transpose(*RUN).variable for name, values in kept.items()})
    coords = {name: runs[name].variable for name in ("alpha", "instance")}
    table = table.assign_coords(coords | {"start": np.arange(table.sizes["start"])})
    return labelled(table, RECOVERY)


def kept_runs(table: xr.Dataset, N: int, group: int = 0) -> xr.Dataset:
    """The runs of one size and kind of start in a table ``recovery``, without empty alphas and starts.

    Returns
    -------
    xarray.Dataset
        ``outcome, recovery_time, end_time`` with dims ``alpha, instance, start`` and ``N`` as scalar
        coordinate, as a sweep has them.
    """
    runs = table.sel(N=N).isel(start_group=group, drop=True).load()
    computed = (runs["outcome"] != Outcome.PENDING).transpose(*RUN).values
    indices = {dim: np.flatnonzero(computed.any(tuple({0, 1, 2} - {axis}))) for axis, dim in enumerate(RUN)}
    return runs.isel(indices)
