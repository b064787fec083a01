"""The limit of alpha_50 for N to infinity: every fitted form, extrapolated, and its residuals.

See docs/explanation/physics.md §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.curves import CurveFit, CurveStatus
from phasepipe.analysis.extrapolation import Extrapolation
from phasepipe.analysis.size_fit import Form, SizeFit
from phasepipe.figures.bands import BAND, LITERATURE, ONE_RSB, UNSTABLE, Band
from phasepipe.figures.style import BLUE, GREEN, VERMILION, new_figure, paper_style

FORM_COLOURS: dict[Form, str] = {"inverse_log": BLUE, "log_linear": VERMILION, "power": GREEN}
FORM_LABELS: dict[Form, str] = {
    "inverse_log": r"$c/\log(N/N_0)$",
    "log_linear": r"$a+b\,\log N$",
    "power": r"$c\,N^{-\omega}$",
}
LABELS = {"alpha_50": r"$\alpha_{50}$"}
_SIDE = 0.13  # width of what lies left of N = infinity, in units of the largest 1 / log N
GUIDE: dict[str, Any] = {"color": "0.6", "linewidth": 0.6, "zorder": 0}
LEGEND: dict[str, Any] = {"ncols": 2, "title": "form (AICc weight); dashed: 1RSB imposed"}
_SIZES = r"$N$, on a scale of $1/\log N$"


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
    extrapolation_panel(upper, extrapolation, curves, band)
    upper.set_xlabel("")
    entries = upper.get_legend_handles_labels()
    figure.legend(*entries, loc="outside upper center", columnspacing=1.5, **LEGEND)
    _draw_form_residuals(lower, extrapolation)
    lower.set_xlabel(_SIZES)
    figure.align_ylabels()
    return figure


def extrapolation_panel(
    axes: Axes,
    extrapolation: Extrapolation,
    curves: Sequence[CurveFit] = (),
    band: Band | None = None,
) -> None:
    """Draw the upper part of :func:`extrapolation_figure`, without its legend, into ``axes``."""
    abscissa = 1 / np.log(extrapolation.N)
    for fit in extrapolation.fits:
        _draw_form(axes, fit, abscissa.max())
    _draw_limits(axes, [fit for fit in extrapolation.fits if not fit.imposed])
    if extrapolation.imposed_limit is not None:
        axes.axhline(extrapolation.imposed_limit, label=f"{LITERATURE} (imposed)", **ONE_RSB)
    if band is not None and band.known:
        side = [-_SIDE * abscissa.max(), 0]
        axes.fill_between(side, *band, label=UNSTABLE, **BAND)
    axes.errorbar(abscissa, extrapolation.value, extrapolation.reach, fmt="ko", zorder=5)
    _draw_bounds(axes, curves)
    _set_limits(axes, extrapolation, band)
    shown = _spaced(abscissa, 0.09 * abscissa.max())
    axes.set_xticks([0, *abscissa[shown]], ["∞", *(f"{N:g}" for N in extrapolation.N[shown])])
    axes.set_xlim(-_SIDE * abscissa.max(), abscissa.max() * 1.05)
    axes.set_xlabel(_SIZES)
    axes.set_ylabel(LABELS.get(extrapolation.quantity, extrapolation.quantity))


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


def _draw_form_residuals(axes: Axes, extrapolation: Extrapolation) -> None:
    """Draw the residuals of the forms that fit; those of a rejected form would only stretch the axis."""
    axes.axhspan(-2, 2, color="0.92", zorder=0, linewidth=0)
    axes.axhline(0, **GUIDE)
    abscissa = 1 / np.log(extrapolation.N)
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
        if fit.status is CurveStatus.NOT_BRACKETED:
            mark_bound(axes, 1 / np.log(fit.N), fit.alpha_50_lower, fit.alpha_50_upper)


def mark_bound(axes: Axes, position: float, lower: float, upper: float) -> None:
    """Mark the finite end of an interval whose other end is infinite by an open triangle."""
    above = np.isfinite(lower)
    bound = lower if above else upper
    if np.isfinite(bound):
        marker, label = ("^", "lower bound") if above else ("v", "upper bound")
        label = label if label not in axes.get_legend_handles_labels()[1] else "_"
        axes.plot(position, bound, marker, color="k", fillstyle="none", label=label)


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
