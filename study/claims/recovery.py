"""Success curves of reduced sweeps, which several claims use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from phasepipe.analysis.counts import counts_from_xarray
from phasepipe.analysis.curves import CurveFit, CurveStatus, fit_curves
from phasepipe.analysis.recovery_times import RecoveryTimes, kept_runs
from phasepipe.analysis.text import with_interval
from phasepipe.analysis.time_limit import alpha_50_over_time, if_all_recover
from phasepipe.figures.scaling_tables import success_curves_table
from phasepipe.figures.style import THEORY, size_colours, size_markers
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.start_kinds import StartKind
from phasepipe.specification.sweep import Sweep
from study.claims.finding import Tables

BUDGETS = (10.0, 100.0, 1000.0)  # time budgets at which alpha_50 is printed, besides unlimited time


def longest_time(tables: Tables) -> float:
    """Time budget ``t_max`` of a sweep."""
    return float(tables["counts"].attrs["asked"]["t_max"])


def steered_sizes(counts: xr.Dataset) -> list[int]:
    """Sizes to which runs were added until alpha_50 was known well enough, so that intervals are wider."""
    asked = counts.attrs["asked"]
    return Sweep.model_validate(asked).precise_sizes() if asked.get("precision") else []


def start_names(counts: xr.Dataset) -> list[str]:
    """Names of the kinds of start, for example ``random`` or ``warm, m0 = 0.1``."""
    kinds = [StartKind(int(kind)).name.lower() for kind in counts["start_kind"].values]
    overlaps = counts["start_m0"].values.tolist()
    return [
        kind if np.isnan(m0) else f"{kind}, m0 = {m0:g}" for kind, m0 in zip(kinds, overlaps, strict=True)
    ]


def group_counts(counts: xr.Dataset, group: int = 0) -> pd.DataFrame:
    """Recovered and computed runs of every instance, for one kind of start."""
    return counts_from_xarray(counts.isel(start_group=group, drop=True))


@dataclass(frozen=True)
class Success(CurveFit):
    """A fitted success curve, and how many runs the time budget left without an answer."""

    undecided: float  # share of undecided runs at alpha_50; NaN where alpha_50 is not known


def group_curves(counts: xr.Dataset, group: int = 0) -> list[Success]:
    """Fitted success curves of one kind of start, one per N; sizes with a single alpha are left out."""
    table = group_counts(counts, group)
    several = table.groupby("N")["alpha"].transform("nunique") > 1
    fits = fit_curves(table[several], steered=steered_sizes(counts)) if several.any() else []
    sums = counts.isel(start_group=group).sum("instance")
    return [
        Success(
            **{entry.name: getattr(fit, entry.name) for entry in fields(fit)}, undecided=_undecided(sums, fit)
        )
        for fit in fits
    ]


def _undecided(sums: xr.Dataset, fit: CurveFit) -> float:
    """Share of undecided runs at alpha_50, interpolated between the alphas that were run."""
    if "undecided" not in sums or not np.isfinite(fit.alpha_50):
        return np.nan
    at = sums.sel(N=fit.N)
    known = at["runs"].values > 0
    share = at["undecided"].values[known] / at["runs"].values[known]
    return float(np.interp(fit.alpha_50, at["alpha"].values[known], share))


def common_counts(found: Mapping[str, Tables]) -> tuple[float, dict[str, xr.Dataset]]:
    """Counts of several sweeps within the longest time that all of them ran, and that time.

    A sweep that ran longer, but of which no recovery times are kept, is left out.
    """
    shortest = min(longest_time(tables) for tables in found.values())
    within = {name: _counts_within(tables, shortest) for name, tables in found.items()}
    return shortest, {name: counts for name, counts in within.items() if counts is not None}


def _counts_within(tables: Tables, budget: float) -> xr.Dataset | None:
    """Counts of a sweep within a time budget; None if only those at its ``t_max`` are known."""
    if longest_time(tables) <= budget:
        return tables["counts"]
    if "recovery" not in tables:
        return None
    runs = tables["recovery"]
    outcome = runs["outcome"]
    valid = (outcome != Outcome.PENDING) & (outcome != Outcome.DIVERGED)
    recovered = (outcome == Outcome.RECOVERED) & (runs["recovery_time"] <= budget)
    trapped = (outcome == Outcome.TRAPPED) & (runs["end_time"] <= budget)
    kinds = {
        "recovered": recovered,
        "trapped": trapped,
        "undecided": valid & ~recovered & ~trapped,
        "runs": valid,
    }
    counts = tables["counts"]
    return counts.assign(
        {name: kind.sum("start").transpose(*counts["runs"].dims) for name, kind in kinds.items()}
    )


def over_time(tables: Tables, group: int = 0) -> pd.DataFrame:
    """alpha_50 within ``BUDGETS``, within ``t_max`` and for unlimited time (``budget`` infinite).

    Columns ``N, budget, alpha_50, alpha_50_lower, alpha_50_upper, alpha_50_error, width, width_lower,
    width_upper, undecided`` (share of the runs at alpha_50, for unlimited time those undecided at ``t_max``),
    ``message`` and ``every`` (alpha_50 with its interval if all undecided runs recovered, as text, the same
    in all rows of a size). Without kept recovery times there are only the rows of ``t_max``, and ``every`` is
    a dash. Sizes with a single alpha are left out.
    """
    counts, last = tables["counts"], longest_time(tables)
    if "recovery" not in tables:
        fits = group_curves(counts, group)
        columns = ("N", *_ESTIMATES, "undecided", "message")
        rows = pd.DataFrame([[getattr(fit, name) for name in columns] for fit in fits], columns=columns)
        return rows.assign(budget=last, every="–")
    sizes = []
    for N in counts["N"].values.tolist():
        kept = kept_runs(tables["recovery"], N, group)
        runs = RecoveryTimes.of(kept["outcome"], kept["recovery_time"], kept["end_time"])
        if len(runs.alpha) < 2:
            continue
        longest = min(last, runs.longest)
        budgets = sorted({*(budget for budget in BUDGETS if budget < longest), longest})
        steered = N in steered_sizes(counts)
        table = alpha_50_over_time(runs, budgets, steered=steered)
        rows = table[[*_ESTIMATES, "message"]].to_dataframe().reset_index()
        rows["every"] = _estimate(if_all_recover(runs, steered=steered))
        shares = [runs.undecided_share(min(budget, longest)) for budget in rows["budget"]]
        rows["undecided"] = [
            np.interp(alpha, runs.alpha, share) for alpha, share in zip(rows["alpha_50"], shares, strict=True)
        ]
        sizes.append(rows)
    return pd.concat(sizes, ignore_index=True)


_ESTIMATES = (
    *("alpha_50", "alpha_50_lower", "alpha_50_upper", "alpha_50_error"),
    *("width", "width_lower", "width_upper"),
)


def _estimate(fit: CurveFit) -> str:
    """alpha_50 with its interval, or the end of the alphas that were run beyond which its estimate lies."""
    if fit.status is CurveStatus.NOT_BRACKETED:
        alpha = fit.cells.alpha
        return f"< {alpha[0]:.3f}" if fit.probability(alpha[:1])[0] > 0.5 else f"> {alpha[-1]:.3f}"
    return with_interval(fit.alpha_50, fit.alpha_50_lower, fit.alpha_50_upper)


def limits(times: pd.DataFrame) -> pd.DataFrame:
    """One row per N of :func:`over_time`: unlimited time where it is known, otherwise the longest budget.

    alpha_50 falls with time, so the latter is an upper bound of the former.
    """
    known = times[np.isfinite(times["budget"]) | np.isfinite(times["alpha_50"])]
    return known.sort_values("budget").groupby("N").tail(1).sort_values("N", ignore_index=True)


def midpoint(fit: Any) -> str:
    """alpha_50 with its interval and the share of undecided runs there, or a bound outside the alphas run.

    ``fit`` is a :class:`Success` or a row of :func:`over_time`.
    """
    shown = with_interval(fit.alpha_50, fit.alpha_50_lower, fit.alpha_50_upper)
    return f"{shown} ({percent(fit.undecided)} undecided)" if np.isfinite(fit.undecided) else shown


def percent(share: float) -> str:
    """A share in percent, to two digits."""
    return f"{100 * share:.2g}%"


def midpoints(fits: Mapping[str, Sequence[Success]]) -> pd.DataFrame:
    """Table of alpha_50 with 95 % intervals and undecided runs, one row per N and one column per name."""
    sizes = sorted({fit.N for of_name in fits.values() for fit in of_name})
    columns: dict[str, list[Any]] = {"N": sizes}
    for name, of_name in fits.items():
        known = {fit.N: midpoint(fit) for fit in of_name}
        columns[name] = [known.get(N, "–") for N in sizes]
    return pd.DataFrame(columns)


def draw_curves(axes: Axes, fits: Sequence[CurveFit]) -> None:
    """Draw success probability against alpha for every N, with 95 % confidence intervals and fits."""
    colours, markers = size_colours(fit.N for fit in fits), size_markers(fit.N for fit in fits)
    for fit in fits:
        draw_curve(axes, fit, colours[fit.N], markers[fit.N], f"N = {fit.N}")
    axes.axhline(0.5, color="0.8", linewidth=0.6, zorder=0)
    axes.set(xlabel="α = M/N", ylabel="success probability P", ylim=(-0.03, 1.03))


def draw_curve(axes: Axes, fit: CurveFit, colour: str, marker: str, label: str) -> None:
    """One success curve."""
    points = success_curves_table([fit])
    spread = [points["probability"] - points["lower"], points["upper"] - points["probability"]]
    axes.errorbar(
        points["alpha"], points["probability"], np.maximum(spread, 0), fmt=marker, color=colour,
        elinewidth=0.7, label=label,
    )  # fmt: skip
    alpha = np.linspace(fit.cells.alpha[0], fit.cells.alpha[-1], 200)
    axes.plot(alpha, fit.probability(alpha), color=colour, linewidth=0.9)


def draw_midpoints(axes: Axes, fits: Sequence[CurveFit], colour: str, marker: str, label: str) -> None:
    """Draw alpha_50 against N with 95 % confidence intervals, or a bound where only a bound is known."""
    known = [fit for fit in fits if np.isfinite(fit.alpha_50)]
    spread = np.abs([[fit.alpha_50 - fit.alpha_50_lower, fit.alpha_50_upper - fit.alpha_50] for fit in known])
    axes.errorbar(
        [fit.N for fit in known],
        [fit.alpha_50 for fit in known],
        np.minimum(spread.T, 1e3) if known else None,
        color=colour,
        marker=marker,
        elinewidth=0.8,
        capsize=1.5,
        label=label,
    )
    for fit in fits:
        if fit.status is CurveStatus.NOT_BRACKETED:
            above = np.isfinite(fit.alpha_50_lower)
            bound = fit.alpha_50_lower if above else fit.alpha_50_upper
            if np.isfinite(bound):
                axes.plot(fit.N, bound, "^" if above else "v", color=colour, fillstyle="none")


def size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    """Make the N axis logarithmic with a tick at every size."""
    axes.set_xscale("log")
    axes.set_xticks(list(sizes), [str(N) for N in sizes])
    axes.minorticks_off()
    axes.set_xlabel("N")


def draw_level(axes: Axes, alpha: float, name: str, *, vertical: bool = False) -> None:
    """Draw a value of alpha for N to infinity as a labelled line."""
    if not np.isfinite(alpha):
        return
    if vertical:
        axes.axvline(alpha, **THEORY)
        axes.text(alpha, 1.01, name, fontsize=6.5, ha="center", transform=axes.get_xaxis_transform())
    else:
        axes.axhline(alpha, **THEORY)
        axes.text(
            1.0, alpha, f"{name} = {alpha:.3f}", fontsize=6.5, va="bottom", ha="right", clip_on=True,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip


def draw_band(axes: Axes, theory: xr.Dataset, *, vertical: bool = False) -> None:
    """Shade the alphas at which marginal minima become unstable, from the most numerous to the lowest ones.

    alpha_threshold is that of states in 1RSB, an approximation in which their complexity is negative.
    """
    ends = [float(theory[name]) for name in ("alpha_most_numerous", "alpha_lowest") if name in theory]
    if len(ends) == 2 and np.isfinite(ends).all():
        (axes.axvspan if vertical else axes.axhspan)(*ends, color="0.92", linewidth=0, zorder=0)
