"""Success probability against alpha for every time budget, from outcomes and first-passage times.

A run counts as recovered at budget ``T`` if its first-passage time is at most ``T``, so one sweep to
``t_max`` gives the result for every shorter budget. ``P`` is the number of recovered runs divided by the
number of runs that did not diverge (docs/explanation/physics.md §3); runs that were not computed are omitted
and counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from phasepipe.analysis.counts import FloatArray, counts_from_xarray
from phasepipe.analysis.intervals import success_interval
from phasepipe.physics.outcomes import Outcome
from phasepipe.variables import SUCCESS, labelled

RUN_DIMS = ("instance", "start")


def counts_by_instance(outcome: xr.DataArray, recovery_time: xr.DataArray, budgets: ArrayLike) -> xr.Dataset:
    """Recoveries and runs of every instance at every time budget.

    Parameters
    ----------
    outcome
        Codes of :class:`~phasepipe.physics.outcomes.Outcome`, dims ``alpha, instance, start`` and any others.
    recovery_time
        First-passage time of the recovered runs, NaN for the others; same dims.
    budgets
        Time budgets, shape (budget,).

    Returns
    -------
    xarray.Dataset
        ``recovered`` with dims (..., instance, budget) and ``runs`` with dims (..., instance).

    Raises
    ------
    ValueError
        If dims are missing, a code is unknown, or codes and times contradict each other.
    """
    _check_runs(outcome, recovery_time)
    recovery_time = recovery_time.transpose(*outcome.dims)
    times = np.atleast_1d(np.asarray(budgets, dtype=float))
    counted = (outcome != Outcome.PENDING) & (outcome != Outcome.DIVERGED)
    recovered = [(recovery_time <= T).sum("start") for T in times]
    return xr.Dataset(
        {
            "recovered": xr.concat(recovered, pd.Index(times, name="budget")).transpose(..., "budget"),
            "runs": counted.sum("start"),
        }
    )


def success_table(
    outcome: xr.DataArray,
    recovery_time: xr.DataArray,
    t_max: float,
    *,
    budgets: Sequence[float] | None = None,
    stop_time: xr.DataArray | None = None,
    asked: xr.DataArray | None = None,
    level: float = 0.95,
) -> xr.Dataset:
    """Success probability with intervals for every cell and time budget.

    Parameters
    ----------
    outcome, recovery_time
        As in :func:`counts_by_instance`; time in units of the flow.
    t_max
        Longest time of the runs.
    budgets
        Time budgets, ascending, at most ``t_max``; by default four per decade from ``t_max / 100`` on.
    stop_time
        Time at which each run ended. If given, a trapped run counts as undecided at budgets before it was
        certified; otherwise it counts as trapped at every budget.
    asked
        Whether each instance was asked for at each alpha, dims ``alpha, instance``; default all. Only these
        count as pending.
    level
        As in :func:`~phasepipe.analysis.intervals.success_interval`; the correlation of starts is
        pooled over alpha.

    Returns
    -------
    xarray.Dataset
        Dims of ``outcome`` without instance and start, then ``budget``. Variables ``k, n, p, lower, upper,
        correlation, design_effect, instances, trapped_share, undecided_share, diverged, pending,
        last_decade_change`` (P(T) - P(T/10)). Shares refer to the ``n`` valid runs. Cells without
        runs have ``n = 0`` and NaN.

    Raises
    ------
    ValueError
        If a budget is not in ``(0, t_max]``, or as in :func:`counts_by_instance`.
    """
    times = _checked_budgets(budgets, t_max)
    counts = counts_by_instance(outcome, recovery_time, times)
    decade_before = counts_by_instance(outcome, recovery_time, times / 10)["recovered"].sum("instance")
    cell_dims = [str(dim) for dim in outcome.dims if dim not in RUN_DIMS]
    dims = [*cell_dims, "budget"]
    recovered = counts["recovered"].transpose(*dims, "instance")
    runs = counts["runs"].expand_dims(budget=times).transpose(*dims, "instance")
    interval = success_interval(
        recovered.to_numpy(), runs.to_numpy(), level=level, pool_axes=(dims.index("alpha"),)
    )
    k, n = recovered.sum("instance"), runs.sum("instance")
    denominator = n.where(n > 0)
    trapped = _trapped_at(outcome, stop_time, k["budget"]).transpose(*dims)
    pending = outcome == Outcome.PENDING
    if asked is not None:
        pending = pending & asked

    def per_cell(values: FloatArray) -> xr.DataArray:
        return xr.DataArray(values, dims=dims, coords=k.coords)

    table = xr.Dataset(
        {
            "k": k,
            "n": n,
            "p": per_cell(interval.probability),
            "lower": per_cell(interval.lower),
            "upper": per_cell(interval.upper),
            "correlation": per_cell(interval.correlation),
            "design_effect": per_cell(interval.design_effect),
            "instances": (runs > 0).sum("instance"),
            "trapped_share": trapped / denominator,
            "undecided_share": (n - k - trapped) / denominator,
            "diverged": (outcome == Outcome.DIVERGED).sum(RUN_DIMS),
            "pending": pending.sum(RUN_DIMS),
            "last_decade_change": (k - decade_before.assign_coords(budget=times).transpose(*dims))
            / denominator,
        }
    )
    return labelled(table, SUCCESS).assign_attrs(level=level, t_max=t_max)


def counts_at_budget(outcome: xr.DataArray, recovery_time: xr.DataArray, budget: float) -> pd.DataFrame:
    """Tidy counts at one time budget, the input of the fits in alpha.

    ``outcome`` has dims ``alpha, instance, start`` and ``N`` as a dimension or a scalar coordinate.
    """
    return counts_from_xarray(counts_by_instance(outcome, recovery_time, [budget]).isel(budget=0, drop=True))


def _trapped_at(outcome: xr.DataArray, stop_time: xr.DataArray | None, budgets: xr.DataArray) -> xr.DataArray:
    trapped = outcome == Outcome.TRAPPED
    if stop_time is None:
        return trapped.sum(RUN_DIMS).expand_dims(budget=budgets)
    at_budget = [(trapped & (stop_time <= float(T))).sum(RUN_DIMS) for T in budgets]
    return xr.concat(at_budget, budgets)


def _checked_budgets(budgets: Sequence[float] | None, t_max: float) -> FloatArray:
    if not (np.isfinite(t_max) and t_max > 0):
        raise ValueError(f"t_max = {t_max} is not a positive time; use the t_max of the sweep")
    if budgets is None:
        return np.geomspace(t_max / 100, t_max, 9)
    times = np.asarray(budgets, dtype=float)
    wrong = times[~((times > 0) & (times <= t_max))]
    if wrong.size or times.size == 0:
        what = f"budget = {wrong[0]:g} lies outside" if wrong.size else "no budget given; choose some in"
        raise ValueError(f"{what} (0, t_max = {t_max:g}], the range of times of the runs")
    return times


def _check_runs(outcome: xr.DataArray, recovery_time: xr.DataArray) -> None:
    for dim in ("alpha", *RUN_DIMS):
        if dim not in outcome.dims:
            raise ValueError(
                f"outcome has dims {outcome.dims} and lacks {dim!r}; alpha, instance and start are needed"
            )
    if dict(outcome.sizes) != dict(recovery_time.sizes):
        raise ValueError(
            f"outcome has sizes {dict(outcome.sizes)} but recovery_time {dict(recovery_time.sizes)}; "
            "they must agree"
        )
    highest = int(outcome.max()) if outcome.size else 0
    if highest > max(Outcome):
        raise ValueError(
            f"outcome code {highest} is unknown; codes are {', '.join(f'{o} {o.name}' for o in Outcome)}"
        )
    recovered = outcome == Outcome.RECOVERED
    contradictions = int((recovered != recovery_time.transpose(*outcome.dims).notnull()).sum())
    if contradictions:
        raise ValueError(
            f"{contradictions} runs are recovered without a recovery time, or have one without recovery; "
            "recovery_time is NaN exactly where the outcome is not recovered"
        )
