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
from phasepipe.analysis.text import with_interval
from phasepipe.figures.scaling_tables import success_curves_table
from phasepipe.figures.style import THEORY, size_colours, size_markers
from phasepipe.physics.starts import StartKind


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
    fits = fit_curves(table[several]) if several.any() else []
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


def midpoint(fit: Success) -> str:
    """alpha_50 with its interval and the share of undecided runs there, or a bound outside the alphas run."""
    shown = with_interval(fit.alpha_50, fit.alpha_50_lower, fit.alpha_50_upper)
    return f"{shown} ({fit.undecided:.0%} undecided)" if np.isfinite(fit.undecided) else shown


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
