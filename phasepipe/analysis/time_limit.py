"""alpha_50 at every time budget T and in the limit T to infinity, treating recovery times as survival data.

The limit assumes that, among all runs that eventually recover, a share ``(1 + t / c)^-gamma`` recovers after
a late time t: a power law with onset c, and the same gamma and c for all alphas of a size. Recoveries between
``t0`` and the horizon T follow this law truncated to that window (as Aban, Meerschaert and Panorska, J. Am.
Stat. Assoc. 101 (2006) 270, fit a truncated Pareto law). Each of them represents ``1 / (1 - q)`` recoveries,
where q is the share of late recoveries after T; their total never exceeds the number of runs that are not
certified trapped. The interval averages over gamma and c, weighted by their quasi-likelihood with instances
as independent units, and over ``t0``. With too few late recoveries for a fit, the interval reaches from all
undecided runs recovering to none of them. :func:`if_all_recover` gives the former end without any assumption.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from phasepipe.analysis.counts import Cells, FloatArray
from phasepipe.analysis.curves import CurveFit, fit_curve
from phasepipe.analysis.monotone import weighted_quantiles
from phasepipe.analysis.recovery_times import RecoveryTimes
from phasepipe.variables import TIME_LIMIT, labelled

TAIL_STARTS = (0.03, 0.1)  # t0 divided by the horizon
LEAST_TAIL = 20  # minimal number of recoveries after t0 for extrapolating the tail
GAMMAS = np.geomspace(0.02, 6.0, 80)
ONSETS = np.geomspace(1e-3, 1.0, 25)  # c divided by the horizon
QUANTILES = 7  # number of quantiles of the posterior of q at which the curve is fitted
COLUMNS = (
    *(f"alpha_50{end}" for end in ("", "_lower", "_upper", "_error")),
    *(f"width{end}" for end in ("", "_lower", "_upper")),
)
NAMES = {column: f"budget_{column}" for column in (*COLUMNS, "undecided")} | {
    "message": "budget_note",
    "gamma": "tail_exponent",
    "gamma_lower": "tail_exponent_lower",
    "gamma_upper": "tail_exponent_upper",
    "tail": "tail_recoveries",
}  # of the columns in the stored table
SUMS = 201  # number of quantiles of each distribution in the mixture
UNBOUNDED = (
    f"the exponent of late recoveries is not bounded above: its posterior reaches the last one tried, "
    f"{GAMMAS[-1]:g}"
)

Row = dict[str, Any]  # one value or message per column


def alpha_50_over_time(
    runs: RecoveryTimes, budgets: ArrayLike, *, level: float = 0.95, steered: bool = False
) -> xr.Dataset:
    """alpha_50 and the width of one size at every time budget, and in the limit of infinite time.

    Parameters
    ----------
    runs
        All runs of the size.
    budgets
        Time budgets in units of the flow, shape (budget,).
    level
        Nominal coverage of the intervals.
    steered
        Whether runs were added until alpha_50 was known well enough, see
        :func:`~phasepipe.analysis.curves.fit_curves`.

    Returns
    -------
    xarray.Dataset
        Dim ``budget``, whose last entry is infinite: ``alpha_50, alpha_50_lower, alpha_50_upper,
        alpha_50_error, width, width_lower, width_upper, undecided`` (maximum over alpha) and
        ``message``; scalars ``gamma, gamma_lower, gamma_upper, tail`` (number of recoveries in the fit of
        gamma). A limit that cannot be estimated is NaN, with the reason in ``message``. Where the interval
        of gamma reaches the last exponent that was tried, its end is infinite, and ``message`` says so.

    Raises
    ------
    ValueError
        If the size has no valid runs or a single alpha, or a budget is not positive or lies beyond the last
        run.
    """
    if not runs.counted.any():
        raise ValueError(f"N = {runs.N} has no valid runs")
    times = np.atleast_1d(np.asarray(budgets, dtype=float))
    last = runs.longest
    wrong = times[~((times > 0) & (times <= last))]
    if wrong.size:
        raise ValueError(f"budget = {wrong[0]:g} lies outside (0, {last:g}], the range of times of the runs")
    weight = runs.weights()
    rows = []
    for budget in times:
        fit = fit_curve(runs.cells(weight * (runs.time <= budget)), level=level, steered=steered)
        rows.append(_row(fit, float(np.nanmax(runs.undecided_share(budget)))))
    limit, tail = _limit(runs, level, steered)
    rows.append(limit)
    columns = {name: ("budget", [row[name] for row in rows]) for name in rows[0]}
    table = xr.Dataset({**columns, **{name: ((), value) for name, value in tail.items()}})
    return table.assign_coords(budget=[*times, np.inf], N=runs.N)


def time_limit_dataset(
    sizes: Sequence[RecoveryTimes],
    budgets: ArrayLike,
    *,
    level: float = 0.95,
    steered: Collection[int] = (),
) -> xr.Dataset:
    """The arrays ``TIME_LIMIT`` of :mod:`phasepipe.variables` for several sizes, dims ``N`` and ``budget``.

    Where a size allows no estimate, its values are NaN and ``budget_note`` gives the reason. ``budgets`` are
    ascending; one that is longer than the runs of a size counts as the longest of these runs. ``steered`` are
    sizes as in :func:`~phasepipe.analysis.curves.fit_curves`.
    """
    times = np.atleast_1d(np.asarray(budgets, dtype=float))
    tables = []
    for runs in sizes:
        try:
            table = alpha_50_over_time(
                runs, np.minimum(times, runs.longest), level=level, steered=runs.N in steered
            )
        except ValueError as error:
            table = _no_estimate(runs.N, len(times) + 1, str(error))
        tables.append(table.assign_coords(budget=[*times, np.inf]).rename(NAMES))
    return labelled(xr.concat(tables, "N"), TIME_LIMIT)


def _no_estimate(N: int, budgets: int, reason: str) -> xr.Dataset:
    unknown = {name: ("budget", np.full(budgets, np.nan)) for name in (*COLUMNS, "undecided")}
    tail = dict.fromkeys(("gamma", "gamma_lower", "gamma_upper", "tail"), ((), np.nan))
    table = xr.Dataset({**unknown, "message": ("budget", [reason] * budgets), **tail})
    return table.assign_coords(N=N)


def _row(fit: CurveFit, undecided: float) -> Row:
    return {name: float(getattr(fit, name)) for name in COLUMNS} | {
        "undecided": undecided,
        "message": fit.message,
    }


def _limit(runs: RecoveryTimes, level: float, steered: bool) -> tuple[Row, dict[str, float]]:
    """Row of the limit, and the parameters of the tail with the earliest ``t0``."""
    horizon = runs.horizon
    undecided = float(np.nanmax(runs.undecided_share(horizon)))
    tail = {"gamma": np.nan, "gamma_lower": np.nan, "gamma_upper": np.nan, "tail": 0.0}
    if undecided == 0:
        return _row(fit_curve(runs.cells(runs.weights()), level=level, steered=steered), 0.0), tail
    fits: list[CurveFit] = []
    row: Row
    for start in TAIL_STARTS:
        late = runs.recovered & runs.counted & (runs.time > start * horizon) & (runs.time <= horizon)
        if late.sum() < LEAST_TAIL:
            continue
        gamma, share, weight = _unseen(runs, late, start * horizon, horizon)
        if not tail["tail"]:
            tail = _exponent(gamma, weight, level) | {"tail": float(late.sum())}
        middles = ((np.arange(QUANTILES) + 0.5) / QUANTILES).tolist()
        fits += [
            fit_curve(_eventual(runs, late, start * horizon, float(unseen)), level=level, steered=steered)
            for unseen in weighted_quantiles(share.ravel(), weight.ravel(), middles)
        ]
    if not fits:
        reason = f"fewer than {LEAST_TAIL} recoveries after t = {TAIL_STARTS[0] * horizon:g}: no tail to fit"
        return _without_tail(runs, level, steered) | {"undecided": undecided, "message": reason}, tail
    row = {"undecided": undecided, "message": UNBOUNDED if np.isinf(tail["gamma_upper"]) else ""}
    for name in ("alpha_50", "width"):
        value, lower, upper, known = _mixture(fits, name, level)
        row |= {name: value, f"{name}_lower": lower, f"{name}_upper": upper}
        if name == "alpha_50":
            row["alpha_50_error"] = (upper - lower) / (2 * float(stats.norm.isf((1 - level) / 2)))
            if known < 1:
                row["message"] = (
                    f"at {1 - known:.0%} of the plausible tails the grid does not contain the crossing"
                )
    return row, tail


def _exponent(gamma: FloatArray, weight: FloatArray, level: float) -> dict[str, float]:
    """Median and interval of gamma; open where the posterior reaches the last exponents that were tried."""
    shares = [(1 - level) / 2, 0.5, (1 + level) / 2]
    lower, middle, upper = map(float, weighted_quantiles(gamma.ravel(), weight.ravel(), shares))
    return {
        "gamma": middle,
        "gamma_lower": 0.0 if lower <= GAMMAS[0] else lower,
        "gamma_upper": np.inf if upper >= GAMMAS[-1] else upper,
    }


def if_all_recover(runs: RecoveryTimes, *, level: float = 0.95, steered: bool = False) -> CurveFit:
    """The success curve if every undecided run recovered, which no tail can exceed.

    That of none of them is the curve at the longest budget.
    """
    every = runs.counted & np.isfinite(runs.time)
    return fit_curve(runs.cells(every.astype(float)), level=level, steered=steered)


def _without_tail(runs: RecoveryTimes, level: float, steered: bool) -> Row:
    """Row of the limit where no tail can be fitted: between all undecided runs recovering and none.

    Unknown unless both extremes are known; alpha_50 is then at most that of the recoveries seen.
    """
    every = if_all_recover(runs, level=level, steered=steered)
    recovered = (runs.counted & runs.recovered).astype(float)
    seen = fit_curve(runs.cells(recovered), level=level, steered=steered)
    row: Row = dict.fromkeys(COLUMNS, np.nan) | {
        "alpha_50_lower": -np.inf,
        "alpha_50_upper": seen.alpha_50_upper,
    }
    if not np.isfinite([every.alpha_50, every.alpha_50_lower, seen.alpha_50, seen.alpha_50_upper]).all():
        return row
    for name in ("alpha_50", "width"):
        values, lowers, uppers = (
            [getattr(fit, name + end) for fit in (every, seen)] for end in ("", "_lower", "_upper")
        )
        row |= {name: sum(values) / 2, f"{name}_lower": min(lowers), f"{name}_upper": max(uppers)}
    reach = row["alpha_50_upper"] - row["alpha_50_lower"]
    return row | {"alpha_50_error": reach / (2 * float(stats.norm.isf((1 - level) / 2)))}


def _unseen(
    runs: RecoveryTimes, late: NDArray[np.bool_], start: float, horizon: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Exponents, share q of late recoveries after the horizon, and posterior weight of each pair.

    All have shape (exponent, onset). The prior is flat in gamma and log c; instances are independent.
    """
    gamma, onset = np.broadcast_arrays(GAMMAS[:, None], horizon * ONSETS)
    times = runs.time[late]
    logs = np.log1p(times[:, None] / (horizon * ONSETS)).sum(0) - late.sum() * np.log1p(
        start / horizon / ONSETS
    )
    length = np.log((onset + horizon) / (onset + start))
    share = np.exp(-gamma * length)
    likelihood = late.sum() * (np.log(gamma / (onset + start)) - np.log1p(-share)) - (gamma + 1) * logs
    best = np.unravel_index(int(np.argmax(likelihood)), likelihood.shape)
    # score of a run in gamma: its log time minus the mean under the law; scores of one instance are summed
    excess = np.where(late, np.log1p(np.where(late, runs.time - start, 0.0) / (onset[best] + start)), 0.0)
    score = np.where(late, excess - excess[late].mean(), 0.0)
    inflation = max(1.0, float((score.sum(-1) ** 2).sum() / (score**2).sum()))
    weight = gamma * np.exp((likelihood - likelihood.max()) / inflation)
    return gamma, share, weight / weight.sum()


def _eventual(runs: RecoveryTimes, late: NDArray[np.bool_], start: float, unseen: float) -> Cells:
    """Cells with the number of recoveries expected for infinite time."""
    early = runs.recovered & runs.counted & (runs.time <= start)
    possible = (runs.counted & np.isfinite(runs.time)).sum((1, 2)) - early.sum((1, 2))
    most = possible / np.maximum(late.sum((1, 2)), 1)
    factor = np.minimum(1 / (1 - unseen), most)
    return runs.cells(early + factor[:, None, None] * late)


def _mixture(fits: list[CurveFit], name: str, level: float) -> tuple[float, float, float, float]:
    """Median, interval and share of finite values of an equal-weight mixture of one law for each fit.

    The law is a normal one on either side of the value, with the interval of the fit, which may be skewed.
    """
    steps = stats.norm.ppf((np.arange(SUMS) + 0.5) / SUMS) / stats.norm.isf((1 - level) / 2)
    draws = []
    for fit in fits:
        value, lower, upper = (getattr(fit, f"{name}{end}") for end in ("", "_lower", "_upper"))
        if np.isfinite([value, lower, upper]).all():
            draws.append(value + steps * np.where(steps < 0, value - lower, upper - value))
    known = len(draws) / len(fits)
    if not draws:
        return np.nan, -np.inf, np.inf, 0.0
    tail = (1 - level) / 2
    lower, middle, upper = np.quantile(np.concatenate(draws), [tail, 0.5, 1 - tail])
    if 1 - known > tail:
        lower, upper = (-np.inf, np.inf) if name == "alpha_50" else (lower, np.inf)
    return float(middle), float(lower), float(upper), known
