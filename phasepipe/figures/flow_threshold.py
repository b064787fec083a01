"""The threshold that gradient flow meets: response to the signal where runs end, against alpha."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.figures.bands import BAND, UNSTABLE, Band
from phasepipe.figures.style import BLACK, new_figure, paper_style, size_colours, size_markers

_DODGE = 0.012  # between the symbols of neighbouring N, in units of the range of alpha
_MARGIN = 0.06  # in the same units
_FARTHEST = 0.5  # how far errors of crossings stretch the axis, in the same units


@paper_style()
def flow_threshold_figure(table: xr.Dataset, title: str, band: Band | None = None) -> Figure:
    """Response S against alpha for every N with the line S = 1, and below where each N crosses it.

    Parameters
    ----------
    table
        Result of :func:`phasepipe.analysis.flow_threshold.flow_threshold`.
    title
        Title of the figure.
    band
        Where marginal minima turn unstable towards the signal for N to infinity, drawn as a band.
    """
    figure = new_figure(aspect=1.1)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    sizes = [int(N) for N in table["N"].values]
    colours, markers = size_colours(sizes), size_markers(sizes)
    if band is not None and band.known:
        upper.axvspan(*band, label=UNSTABLE, **BAND)
        lower.axvspan(*band, **BAND)
    upper.axhline(1, color=BLACK, linewidth=0.8)
    span = float(np.ptp(table["alpha"].values)) or 1.0
    for row, N in enumerate(sizes):
        dodge = _DODGE * span * (row - (len(sizes) - 1) / 2)
        _draw_responses(upper, table.sel(N=N), dodge, colours[N], markers[N], f"N = {N}")
    _draw_crossings(lower, table, sizes, colours, markers)
    _set_alphas(upper, table, span)
    lower.set_xlabel(r"signal-to-noise ratio $\alpha = M/N$")
    upper.set_ylabel("response S to the signal")
    upper.set_title(title, loc="left")
    lower.set_ylabel("S = 1 at")
    figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0, handletextpad=0.4)
    figure.align_ylabels()
    return figure


def _draw_responses(axes: Axes, row: xr.Dataset, dodge: float, colour: str, marker: str, label: str) -> None:
    """Filled symbols with errors for t to infinity, open ones for the last record."""
    extrapolated = np.isfinite(row["response_limit"].values)
    name = "response_limit" if extrapolated.any() else "response"
    shown = row.isel(alpha=np.flatnonzero(np.isfinite(row[name].values)))
    axes.errorbar(
        shown["alpha"].values + dodge,
        shown[name].values,
        shown[f"{name}_error"].values,
        fmt=f"{marker}-",
        color=colour,
        capsize=1.5,
        elinewidth=0.8,
        linewidth=0.6,
        fillstyle="full" if extrapolated.any() else "none",
        label=label,
    )
    if extrapolated.any():
        at = row.isel(alpha=np.flatnonzero(extrapolated))
        axes.plot(
            at["alpha"].values + dodge,
            at["response"].values,
            marker,
            color=colour,
            fillstyle="none",
            markersize=5,
        )


def _draw_crossings(
    axes: Axes,
    table: xr.Dataset,
    sizes: list[int],
    colours: Mapping[int, str],
    markers: Mapping[int, str],
) -> None:
    """One row for every N from the top, and the limit below; of the last record where that is all."""
    end = "" if np.isfinite(table["crossing"].values).any() else "_end"
    rows: list[tuple[xr.DataArray, xr.DataArray, str, str]] = [
        (at[f"crossing{end}"], at[f"crossing{end}_error"], colours[N], markers[N])
        for N in sizes
        for at in [table.sel(N=N)]
    ]
    limit, error = table[f"alpha_flow{end}"], table[f"alpha_flow{end}_error"]
    rows.append((limit, error, BLACK, "*"))
    text = rf"$\alpha_\mathrm{{flow}}$ = {float(limit):.2f} ± {float(error):.2f}"
    for place, (value, error, colour, marker) in enumerate(rows):
        if np.isfinite(value):
            axes.errorbar(
                [float(value)],
                [-place],
                xerr=[float(error)],
                fmt=marker,
                color=colour,
                capsize=2,
                elinewidth=1.0,
                label=text if place == len(sizes) else None,
            )
    axes.set_yticks([-place for place in range(len(rows))], [*(f"N = {N}" for N in sizes), r"$N\to\infty$"])
    axes.set_ylim(-len(sizes) - 0.7, 0.7)


def _set_alphas(axes: Axes, table: xr.Dataset, span: float) -> None:
    """All alphas that were run, and the limit with its error, unless that is far away."""
    alphas = table["alpha"].values
    low, high = float(alphas.min()), float(alphas.max())
    limit, error = float(table["alpha_flow"]), float(table["alpha_flow_error"])
    if np.isfinite(limit):
        low = max(min(low, limit - error), low - _FARTHEST * span)
        high = min(max(high, limit + error), high + _FARTHEST * span)
    axes.set_xlim(low - _MARGIN * span, high + _MARGIN * span)
