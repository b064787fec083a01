"""Success curves: probability of recovery against alpha for every N."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.figures.bands import BAND, LITERATURE, ONE_RSB, UNSTABLE, Thresholds
from phasepipe.figures.style import THEORY, new_figure, paper_style, size_colours, size_markers, small

_REACH = 0.5  # thresholds are shown up to this share of the range of alpha beyond its ends


@paper_style()
def success_figure(table: xr.Dataset, title: str, thresholds: Thresholds | None = None) -> Figure:
    """Probability of recovery against alpha with confidence intervals, one curve per N.

    Parameters
    ----------
    table
        ``p``, ``lower`` and ``upper`` (N, alpha), for one time budget and one kind of start.
    title
        Title of the figure.
    thresholds
        Thresholds for N to infinity; those far from the alphas of the table are left out.
    """
    figure = new_figure(aspect=0.8)
    success_panel(figure.subplots(), table, title, thresholds)
    return figure


def success_panel(axes: Axes, table: xr.Dataset, title: str, thresholds: Thresholds | None = None) -> None:
    """Draw what :func:`success_figure` shows into ``axes``."""
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
    if thresholds is not None:
        _mark(axes, thresholds, float(table["alpha"].min()), float(table["alpha"].max()))
    axes.axhline(0.5, color="0.8", linewidth=0.6, zorder=0)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel(r"signal-to-noise ratio $\alpha = M/N$")
    axes.set_ylabel("P(recovery)")
    axes.set_title(title, loc="left")
    axes.legend(loc="upper left", handlelength=1.6)


def _mark(axes: Axes, thresholds: Thresholds, first: float, last: float) -> None:
    """Lines at alpha_init and at the threshold of the literature, and the band of the marginal minima."""
    least, most = first - _REACH * (last - first), last + _REACH * (last - first)
    lines = (
        (r"$\alpha_{\mathrm{init}}$", thresholds.initial, THEORY),
        (LITERATURE, thresholds.one_rsb, ONE_RSB),
    )
    for label, alpha, style in lines:
        if least <= alpha <= most:
            axes.axvline(alpha, **style)
            _write(axes, f"{label} = {alpha:.3f}", alpha, left=3)
    band = thresholds.unstable
    if band.known and band.low <= most and band.high >= least:
        shown = max(band.low, least), min(band.high, most)
        axes.axvspan(*shown, **BAND)
        _write(axes, UNSTABLE, sum(shown) / 2, centred=True)


def _write(axes: Axes, text: str, alpha: float, *, left: float = 0, centred: bool = False) -> None:
    axes.annotate(
        text,
        (alpha, 0.5),
        xytext=(left, 0),
        textcoords="offset points",
        rotation=90,
        va="center",
        ha="center" if centred else "left",
        fontsize=small(),
    )
