"""Figures of finite-size scaling: success curves, residuals, data collapse and an overview.

See docs/explanation/physics.md §8. Every function returns a matplotlib figure; the caller saves it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.collapse_points import Collapse
from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.extrapolation import Extrapolation
from phasepipe.figures.bands import BAND, LITERATURE, ONE_RSB, UNSTABLE, Band
from phasepipe.figures.extrapolation import FORM_COLOURS, FORM_LABELS, GUIDE, LABELS
from phasepipe.figures.scaling_tables import scaling_overview_table, success_curves_table
from phasepipe.figures.style import PAGE_WIDTH, new_figure, paper_style, size_colours, size_markers


@paper_style()
def success_curves_figure(curves: Sequence[CurveFit]) -> Figure:
    """Success probability against alpha for every N, with confidence intervals and fitted bands."""
    figure = new_figure()
    axes = figure.subplots()
    colours, markers = size_colours(fit.N for fit in curves), size_markers(fit.N for fit in curves)
    axes.axhline(0.5, **GUIDE)
    for fit in curves:
        colour, cells, points = colours[fit.N], fit.cells, success_curves_table([fit])
        spread = [points["probability"] - points["lower"], points["upper"] - points["probability"]]
        axes.errorbar(
            points["alpha"],
            points["probability"],
            np.maximum(spread, 0),
            fmt=markers[fit.N],
            color=colour,
            elinewidth=0.7,
            label=f"$N={fit.N}$",
        )
        alpha = np.linspace(cells.alpha[0], cells.alpha[-1], 300)
        axes.plot(alpha, fit.probability(alpha), color=colour)
        axes.fill_between(alpha, *fit.band(alpha), color=colour, alpha=0.2, linewidth=0)

    axes.set(xlabel=r"$\alpha = M/N$", ylabel="success probability $P$", ylim=(-0.03, 1.03))
    axes.legend(handletextpad=0.3)
    return figure


@paper_style()
def residuals_figure(curves: Sequence[CurveFit]) -> Figure:
    """Residuals of the success curves against alpha, in standard errors that include the design effect."""
    figure = new_figure(aspect=0.6)
    axes = figure.subplots()
    colours, markers = size_colours(fit.N for fit in curves), size_markers(fit.N for fit in curves)
    axes.axhspan(-2, 2, color="0.92", zorder=0, linewidth=0)
    axes.axhline(0, **GUIDE)
    points = success_curves_table(curves)
    for fit in curves:
        at = points[points["N"] == fit.N]
        p_value = f"={fit.goodness:.2f}" if fit.goodness >= 0.01 else "<0.01"
        label = f"$N={fit.N}$, $p{p_value}$" if np.isfinite(fit.goodness) else f"$N={fit.N}$"
        axes.plot(at["alpha"], at["residual"], markers[fit.N], color=colours[fit.N], label=label)
    reach = max(3.0, 1.1 * float(points["residual"].abs().max()))
    axes.set(xlabel=r"$\alpha = M/N$", ylabel="residual / s.e.", ylim=(-reach, reach))
    figure.legend(loc="outside upper center", ncols=3, handletextpad=0.1, columnspacing=1.0)
    return figure


@paper_style()
def collapse_figure(found: Collapse) -> Figure:
    """Success probability against the scaled alpha; points that the fit did not use are pale."""
    figure = new_figure()
    collapse_panel(figure.subplots(), found)
    return figure


def collapse_panel(axes: Axes, found: Collapse) -> None:
    """Draw what :func:`collapse_figure` shows into ``axes``."""
    sizes = found.points["N"].unique()
    colours, markers = size_colours(sizes), size_markers(sizes)
    axes.axhline(0.5, **GUIDE)
    for N, points in found.points.groupby("N"):
        colour, marker = colours[N], markers[N]  # type: ignore[index]
        for entered, of_kind in points.groupby("entered"):
            axes.errorbar(
                of_kind["scaled"],
                of_kind["probability"],
                1.96 * of_kind["error"],
                fmt=marker,
                color=colour,
                alpha=1.0 if entered else 0.25,
                elinewidth=0.7,
                label=f"$N={N}$" if entered else None,
            )
    inside = found.points.loc[found.points["entered"], "scaled"]
    margin = 0.35 * np.ptp(inside)
    axes.set(
        xlabel=rf"$(\alpha - {found.alpha_c:.2f})\,N^{{{found.inverse_nu:.2f}}}$",
        ylabel="success probability $P$",
        xlim=(inside.min() - margin, inside.max() + margin),
        ylim=(-0.03, 1.03),
    )
    axes.legend(title=f"{found.method}: {found.quality:.2f}", handletextpad=0.3)


@paper_style()
def scaling_overview_figure(
    curves: Sequence[CurveFit], extrapolation: Extrapolation, band: Band | None = None
) -> Figure:
    """Left, limit of every form against the smallest N in the fit; right, width of the curves against N.

    The limits stand beside the band where marginal minima turn unstable, and the 1RSB limit.
    """
    figure = new_figure(PAGE_WIDTH, 0.36)
    left, right = figure.subplots(1, 2)
    numbers = scaling_overview_table(curves, extrapolation)
    _draw_scan(left, extrapolation, numbers[numbers["quantity"] == "limit"], band)
    known = numbers[numbers["quantity"] == "width"]
    spread = [known["value"] - known["lower"], known["upper"] - known["value"]]
    right.errorbar(known["N"], known["value"], spread, fmt="ko")
    log_sizes(right, known["N"].to_numpy(float))
    right.set(xlabel="$N$", ylabel=r"quartile width in $\alpha$")
    return figure


def _draw_scan(axes: Axes, extrapolation: Extrapolation, free: pd.DataFrame, band: Band | None) -> None:
    for offset, (form, rows) in zip((0.96, 1.0, 1.04), free.groupby("form", sort=False), strict=False):
        spread = [rows["value"] - rows["lower"], rows["upper"] - rows["value"]]
        axes.errorbar(
            rows["N"] * offset,
            rows["value"],
            np.minimum(spread, 1e6),  # an infinite end extends beyond the axes
            fmt="o",
            color=FORM_COLOURS[form],  # type: ignore[index]
            label=FORM_LABELS[form],  # type: ignore[index]
        )
    if extrapolation.imposed_limit is not None:
        axes.axhline(extrapolation.imposed_limit, label=LITERATURE, **ONE_RSB)
    if band is not None and band.known:
        axes.axhspan(*band, label=UNSTABLE, **BAND)
    if len(free):
        # the limits set the scale, so long intervals are cut off
        known = free.loc[np.isfinite(free["value"]), "value"]
        if not len(known):  # the theory alone is left to show
            known = pd.Series([*(band or ()), extrapolation.imposed_limit or 1.0]).dropna()
        low, high = known.min(), known.max()
        reach = 0.5 * (high - low) + 0.05 * abs(high)
        axes.set_ylim(low - reach, high + reach)
    log_sizes(axes, free["N"].unique().astype(float))
    axes.set(
        xlabel="smallest $N$ in the fit",
        ylabel=f"limit of {LABELS.get(extrapolation.quantity, extrapolation.quantity)}",
    )
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, columnspacing=1.0, handletextpad=0.4)


def log_sizes(axes: Axes, sizes: FloatArray) -> None:
    """A logarithmic axis of system sizes with a tick at each."""
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{N:g}" for N in sizes])
    if len(sizes):
        axes.set_xlim(sizes.min() / 1.2, sizes.max() * 1.2)
    axes.minorticks_off()
