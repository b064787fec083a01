"""Success curves: probability of recovery against alpha for every N."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.figures.style import THEORY, new_figure, paper_style, size_colours, size_markers


@paper_style()
def success_figure(table: xr.Dataset, title: str, lines: Mapping[str, float] | None = None) -> Figure:
    """Probability of recovery against alpha with confidence intervals, one curve per N.

    Parameters
    ----------
    table
        ``p``, ``lower`` and ``upper`` (N, alpha), for one time budget and one kind of start.
    title
        Title of the figure.
    lines
        Values of alpha for N to infinity to mark, by label.
    """
    figure = new_figure(aspect=0.8)
    axes = figure.subplots()
    sizes = [int(N) for N in table["N"].values]
    colours, markers = size_colours(sizes), size_markers(sizes)
    for N in sizes:
        row = table.sel(N=N)
        row = row.isel(alpha=np.flatnonzero(np.isfinite(row["p"].values)))
        p = row["p"].values
        axes.errorbar(
            row["alpha"].values,
            p,
            yerr=[np.maximum(p - row["lower"].values, 0), np.maximum(row["upper"].values - p, 0)],
            color=colours[N],
            marker=markers[N],
            capsize=1.5,
            elinewidth=0.8,
            label=f"N = {N}",
        )
    low, high = float(table["alpha"].min()), float(table["alpha"].max())
    for label, alpha in (lines or {}).items():
        near = low - 0.5 * (high - low) <= alpha <= high + 0.5 * (high - low)
        if near:
            axes.axvline(alpha, **THEORY)
            axes.annotate(
                f"{label} = {alpha:.3f}",
                (alpha, 0.5),
                xytext=(3, 0),
                textcoords="offset points",
                rotation=90,
                va="center",
                fontsize=6.5,
            )
    axes.axhline(0.5, color="0.8", linewidth=0.6, zorder=0)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(r"signal-to-noise ratio $\alpha = M/N$")
    axes.set_ylabel("P(recovery)")
    axes.set_title(title, loc="left")
    axes.legend(loc="upper left", handlelength=1.6)
    return figure
