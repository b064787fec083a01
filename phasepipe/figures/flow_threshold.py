"""The threshold that gradient flow meets: response to the signal where runs end, against alpha."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.figures.bands import BAND, UNSTABLE, Band
from phasepipe.figures.style import BLACK, new_figure, paper_style, size_colours, size_markers

_BELOW = 0.06  # how far below S = 1 the crossings of all N are drawn, in units of the height of the axes


@paper_style()
def flow_threshold_figure(table: xr.Dataset, title: str, band: Band | None = None) -> Figure:
    """Response S against alpha for every N, the line S = 1, and where it is crossed.

    Parameters
    ----------
    table
        Result of :func:`phasepipe.analysis.flow_threshold.flow_threshold`.
    title
        Title of the figure.
    band
        Where marginal minima turn unstable towards the signal for N to infinity, drawn as a band.
    """
    figure = new_figure(aspect=0.95)
    axes = figure.subplots()
    sizes = [int(N) for N in table["N"].values]
    colours, markers = size_colours(sizes), size_markers(sizes)
    if band is not None and band.known:
        axes.axvspan(*band, label=UNSTABLE, **BAND)
    axes.axhline(1, color=BLACK, linewidth=0.8)
    for N in sizes:
        _draw_responses(axes, table.sel(N=N), colours[N], markers[N], f"N = {N}")
    low, high = axes.get_ylim()
    low = min(low, 1 - 0.3 * (high - 1))  # leaves room for the crossings
    axes.set_ylim(low, high)
    step = _BELOW * (high - low)
    for row, N in enumerate(sizes):
        at = table.sel(N=N)
        _draw_crossing(axes, at["crossing"], at["crossing_error"], 1 - step * (row + 1), colours[N], "|")
    last = 1 - step * (len(sizes) + 1)
    limit = r"$\alpha_\mathrm{flow}$"
    if np.isfinite(table["alpha_flow"]):
        limit += f" = {float(table['alpha_flow']):.2f} ± {float(table['alpha_flow_error']):.2f}"
    _draw_crossing(axes, table["alpha_flow"], table["alpha_flow_error"], last, BLACK, "D", limit)
    axes.set_ylim(min(low, last - step), high)
    alphas = table["alpha"].values
    margin = 0.06 * np.ptp(alphas) + 0.01
    axes.set_xlim(alphas.min() - margin, max(alphas.max(), float(table["alpha_flow"].fillna(0))) + margin)
    axes.set_xlabel(r"signal-to-noise ratio $\alpha = M/N$")
    axes.set_ylabel("response S to the signal")
    axes.set_title(title, loc="left")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1.0, handletextpad=0.4)
    return figure


def _draw_responses(axes: Axes, row: xr.Dataset, colour: str, marker: str, label: str) -> None:
    """Filled symbols for t to infinity, open ones for the last record."""
    limits = np.isfinite(row["response_limit"].values)
    for name, known, fill in (
        ("response", np.isfinite(row["response"].values), "none"),
        ("response_limit", limits, "full"),
    ):
        if not known.any():
            continue
        shown = row.isel(alpha=np.flatnonzero(known))
        axes.errorbar(
            shown["alpha"],
            shown[name],
            shown[f"{name}_error"],
            fmt=marker,
            fillstyle=fill,
            color=colour,
            capsize=1.5,
            elinewidth=0.8,
            label=label if fill == "full" or not limits.any() else None,
        )


def _draw_crossing(
    axes: Axes,
    value: xr.DataArray,
    error: xr.DataArray,
    height: float,
    colour: str,
    marker: str,
    label: str | None = None,
) -> None:
    if np.isfinite(value):
        axes.errorbar(
            [float(value)],
            [height],
            xerr=[float(error)],
            fmt=marker,
            color=colour,
            capsize=2,
            elinewidth=1.2,
            markersize=4,
            label=label,
        )
