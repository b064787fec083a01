"""alpha_50 against the time budget, and its limit for unlimited time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.figures.style import new_figure, paper_style, size_colours, size_markers

_COLUMNS = ("alpha_50", "alpha_50_lower", "alpha_50_upper", "width", "undecided")
_GAP = 0.35  # decades from the longest budget to t = infinity
_DODGE = 0.02  # decades between neighbouring N


def time_limit_table(table: xr.Dataset) -> pd.DataFrame:
    """Columns ``N, budget, alpha_50, alpha_50_lower, alpha_50_upper, width, undecided``, one row per point.

    ``table`` has the arrays of :func:`phasepipe.analysis.time_limit.time_limit_dataset`.
    """
    rows = (
        table[[f"budget_{name}" for name in _COLUMNS]].transpose("N", "budget").to_dataframe().reset_index()
    )
    return rows.rename(columns=lambda name: name.removeprefix("budget_"))[["N", "budget", *_COLUMNS]]


@paper_style()
def time_limit_figure(table: xr.Dataset) -> Figure:
    """alpha_50 against the time budget for every N, with the limit t to infinity at the right end.

    Intervals that are unbounded on a side are drawn without that side.
    """
    points = time_limit_table(table)
    points = points[np.isfinite(points["alpha_50"])]
    longest = float(table["budget"].values[-2])
    end = longest * 10**_GAP
    sizes = [int(N) for N in table["N"].values]
    colours, markers = size_colours(sizes), size_markers(sizes)
    figure = new_figure()
    axes = figure.subplots()
    for row, N in enumerate(sizes):
        at = points[points["N"] == N]
        dodge = 10 ** (_DODGE * (row - (len(sizes) - 1) / 2))
        for part, style in ((at[np.isfinite(at["budget"])], "-"), (at[np.isinf(at["budget"])], "none")):
            value = part["alpha_50"]
            reach = [value - part["alpha_50_lower"], part["alpha_50_upper"] - value]
            axes.errorbar(
                np.minimum(part["budget"], end) * dodge,
                value,
                np.where(np.isfinite(reach), np.maximum(reach, 0), 0),
                marker=markers[N],
                linestyle=style,
                color=colours[N],
                elinewidth=0.8,
                capsize=1.5,
                label=f"$N={N}$" if style == "-" else None,
            )
    axes.axvline(longest * 10 ** (_GAP / 2), color="0.6", linestyle=":", linewidth=0.8)
    shown = table["budget"].values[:-1]
    ticks = [time for time in 10.0 ** np.arange(-6, 9) if shown[0] * 0.99 <= time <= longest * 1.01]
    axes.set(xscale="log", xlabel="time budget $t$", ylabel=r"$\alpha_{50}$")
    axes.set_xticks([*ticks, end], [f"{time:g}" for time in ticks] + [r"$\infty$"])
    axes.set_xticks([], minor=True)
    axes.legend(handletextpad=0.3)
    return figure
