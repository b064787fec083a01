"""Figures of finite-size scaling: success curves, residuals, extrapolation and data collapse.

See docs/explanation/physics.md §8. Every function returns a matplotlib figure; the caller saves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.collapse_points import Collapse
from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.curves import CurveFit, CurveStatus
from phasepipe.analysis.extrapolation import Extrapolation
from phasepipe.analysis.size_fit import Form, SizeFit
from phasepipe.figures.bands import BAND, LITERATURE, ONE_RSB, UNSTABLE, Band
from phasepipe.figures.scaling_tables import scaling_overview_table, success_curves_table
from phasepipe.figures.style import (
    BLUE,
    GREEN,
    PAGE_WIDTH,
    VERMILION,
    new_figure,
    paper_style,
    size_colours,
    size_markers,
)

FORM_COLOURS: dict[Form, str] = {"inverse_log": BLUE, "log_linear": VERMILION, "power": GREEN}
FORM_LABELS: dict[Form, str] = {
    "inverse_log": r"$c/\log(N/N_0)$",
    "log_linear": r"$a+b\,\log N$",
    "power": r"$c\,N^{-\omega}$",
}
LABELS = {"alpha_50": r"$\alpha_{50}$"}
_SIDE = 0.13  # width of what lies left of N = infinity, in units of the largest 1 / log N
GUIDE: dict[str, Any] = {"color": "0.6", "linewidth": 0.6, "zorder": 0}


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
def extrapolation_figure(
    extrapolation: Extrapolation, *, curves: Sequence[CurveFit] = (), band: Band | None = None
) -> Figure:
    """A quantity against 1 / log N with every fitted form extrapolated to N = infinity, and the residuals.

    Solid lines have a free limit, whose confidence interval is drawn at N = infinity; dashed lines have the
    limit of the literature (1RSB) imposed, which is the thin line.

    Parameters
    ----------
    extrapolation
        The quantity at every N and the fitted forms.
    curves
        Success curves. Where the alphas that were run do not bracket alpha_50, an open triangle marks the
        bound that they give.
    band
        Where marginal minima turn unstable towards the signal for N to infinity, drawn at that side.
    """
    figure = new_figure(aspect=1.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    abscissa = 1 / np.log(extrapolation.N)
    for fit in extrapolation.fits:
        _draw_form(upper, fit, abscissa.max())
    _draw_limits(upper, [fit for fit in extrapolation.fits if not fit.imposed])
    if extrapolation.imposed_limit is not None:
        upper.axhline(extrapolation.imposed_limit, label=f"{LITERATURE} (imposed)", **ONE_RSB)
    if band is not None and band.known:
        side = [-_SIDE * abscissa.max(), 0]
        upper.fill_between(side, *band, label=UNSTABLE, **BAND)
    upper.errorbar(abscissa, extrapolation.value, extrapolation.reach, fmt="ko", zorder=5)
    _draw_bounds(upper, curves)
    _set_limits(upper, extrapolation, band)
    upper.set_ylabel(LABELS.get(extrapolation.quantity, extrapolation.quantity))
    figure.legend(
        *upper.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        columnspacing=1.5,
        title="form (AICc weight); dashed: 1RSB imposed",
        title_fontsize=7,
    )
    _draw_form_residuals(lower, extrapolation, abscissa)
    shown = _spaced(abscissa, 0.09 * abscissa.max())
    lower.set_xticks([0, *abscissa[shown]], ["∞", *(f"{N:g}" for N in extrapolation.N[shown])])
    lower.set_xlim(-_SIDE * abscissa.max(), abscissa.max() * 1.05)
    lower.set_xlabel(r"$N$, on a scale of $1/\log N$")
    figure.align_ylabels()
    return figure


@paper_style()
def collapse_figure(found: Collapse) -> Figure:
    """Success probability against the scaled alpha; points that the fit did not use are pale."""
    figure = new_figure()
    axes = figure.subplots()
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
    axes.legend(title=f"{found.method}: {found.quality:.2f}", title_fontsize=7, handletextpad=0.3)
    return figure


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
    _log_sizes(right, known["N"].to_numpy(float))
    right.set(xlabel="$N$", ylabel=r"quartile width in $\alpha$")
    return figure


def _draw_form(axes: Axes, fit: SizeFit, largest: float) -> None:
    abscissa = np.linspace(1e-3, largest, 400)
    with np.errstate(over="ignore"):
        values = fit.predict(np.exp(1 / abscissa))
    label = FORM_LABELS[fit.form]
    if not fit.imposed:
        label += f" ({fit.weight:.2f})"
    axes.plot(
        [0, *abscissa],
        [fit.limit if np.isfinite(fit.limit) else np.nan, *values],
        color=FORM_COLOURS[fit.form],
        linestyle="--" if fit.imposed else "-",
        linewidth=0.8 if fit.imposed else 1.2,
        alpha=1.0 if fit.believable else 0.35,
        label=None if fit.imposed else label,
    )


def _draw_limits(axes: Axes, fits: Sequence[SizeFit]) -> None:
    """Draw the confidence intervals of the limits at N = infinity next to each other."""
    for index, fit in enumerate(fits):
        lower, upper = np.clip(fit.limit_interval, -1e6, 1e6)
        position = -0.005 * (len(fits) - index)
        axes.plot(
            [position, position], [lower, upper], color=FORM_COLOURS[fit.form], linewidth=2.0, alpha=0.8
        )


def _draw_form_residuals(axes: Axes, extrapolation: Extrapolation, abscissa: FloatArray) -> None:
    """Draw the residuals of the forms that fit; those of a rejected form would only stretch the axis."""
    axes.axhspan(-2, 2, color="0.92", zorder=0, linewidth=0)
    axes.axhline(0, **GUIDE)
    shown = [fit for fit in extrapolation.fits if fit.believable]
    reach = 3.0
    for index, fit in enumerate(shown):
        residual = (extrapolation.value - fit.predict(extrapolation.N)) / extrapolation.error
        reach = max(reach, 1.1 * float(np.max(np.abs(residual))))
        axes.plot(
            abscissa + 0.0015 * (index - (len(shown) - 1) / 2),
            residual,
            "s" if fit.imposed else "o",
            color=FORM_COLOURS[fit.form],
            fillstyle="none" if fit.imposed else "full",
        )
    axes.set(ylabel="residual / s.e.", ylim=(-reach, reach))


def _spaced(abscissa: FloatArray, least: float) -> list[int]:
    """Indices of the ticks whose labels do not overlap, from the smallest size on."""
    kept: list[int] = []
    for index in np.argsort(-abscissa):
        if not kept or abscissa[kept[-1]] - abscissa[index] >= least:
            kept.append(int(index))
    return kept


def _draw_bounds(axes: Axes, curves: Sequence[CurveFit]) -> None:
    for fit in curves:
        if fit.status is not CurveStatus.NOT_BRACKETED:
            continue
        above = np.isfinite(fit.alpha_50_lower)
        bound = fit.alpha_50_lower if above else fit.alpha_50_upper
        if np.isfinite(bound):
            marker, label = ("^", "lower bound") if above else ("v", "upper bound")
            label = label if label not in axes.get_legend_handles_labels()[1] else "_"
            axes.plot(1 / np.log(fit.N), bound, marker, color="k", fillstyle="none", label=label)


def _set_limits(axes: Axes, extrapolation: Extrapolation, band: Band | None) -> None:
    """Fit the axis to the data, the theory and the bounded limits, ignoring unbounded intervals."""
    values = [
        *(extrapolation.value - 2 * extrapolation.error),
        *(extrapolation.value + 2 * extrapolation.error),
    ]
    values += [fit.limit for fit in extrapolation.fits if fit.believable and np.isfinite(fit.limit)]
    span = np.ptp(extrapolation.value) + float(extrapolation.error.max())
    for fit in extrapolation.plausible:
        values += [end for end in fit.limit_interval if np.isfinite(end)]
    centre = float(np.median(extrapolation.value))
    values = [value for value in values if abs(value - centre) < 6 * span]
    if extrapolation.imposed_limit is not None:
        values.append(extrapolation.imposed_limit)
    if band is not None and band.known:
        values += band
    low, high = min(values), max(values)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


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
    _log_sizes(axes, free["N"].unique().astype(float))
    axes.set(
        xlabel="smallest $N$ in the fit",
        ylabel=f"limit of {LABELS.get(extrapolation.quantity, extrapolation.quantity)}",
    )
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, columnspacing=1.0, handletextpad=0.4)


def _log_sizes(axes: Axes, sizes: FloatArray) -> None:
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{N:g}" for N in sizes])
    if len(sizes):
        axes.set_xlim(sizes.min() / 1.2, sizes.max() * 1.2)
    axes.minorticks_off()
