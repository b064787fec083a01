"""The dynamics for N to infinity and success predicted without a fit, drawn over what was measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from phasepipe.analysis.predicted import half_size_between, predicted_alpha_50
from phasepipe.figures.bands import BAND, UNSTABLE, Band
from phasepipe.figures.style import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    new_figure,
    note,
    paper_style,
    size_colours,
    size_markers,
)
from phasepipe.theory.warm_starts import success_at

_PANELS = (
    ("energy", "energy per N"),
    ("correlation", "correlation C(t, 0)"),
    ("amplification", "amplification A(t)"),
    ("overlap_variance", r"$N\,\mathrm{E}[m^2]$"),
)
_LARGEST_SIZE = 1e8
_NO_BUDGET = "no time budget is both predicted and measured"
_FEW_DECADES = 100.0  # range of N below which its axis has a tick at every N that was run


@paper_style()
def dynamics_figure(predicted: xr.Dataset, measured: pd.DataFrame) -> Figure:
    """Energy, correlation with the start, amplification and variance of the overlap against time.

    Parameters
    ----------
    predicted
        ``energy``, ``correlation``, ``amplification``, ``overlap_variance`` with dimensions (alpha, time),
        each with ``_error``.
    measured
        Columns ``alpha, N, time, energy, energy_error, overlap_variance, overlap_variance_error``: means over
        the runs from random starts.
    """
    figure = new_figure(PAGE_WIDTH, 0.62)
    alphas = predicted["alpha"].values.tolist()
    colours = size_colours(range(len(alphas)))
    for axes, (name, label) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        for row, alpha in enumerate(alphas):
            at = predicted.sel(alpha=alpha).isel(time=slice(1, None))
            value, error, colour = at[name].values, at[f"{name}_error"].values, colours[row]
            axes.plot(at["time"], value, color=colour, label=rf"$\alpha$ = {alpha:.3g}")
            axes.fill_between(at["time"], value - error, value + error, color=colour, alpha=0.25, lw=0)
            if name in measured:
                runs = measured[np.isclose(measured["alpha"], alpha, atol=1e-3) & (measured["time"] > 0)]
                axes.errorbar(
                    runs["time"],
                    runs[name],
                    runs[f"{name}_error"],
                    fmt="o",
                    color=colours[row],
                    ms=2.5,
                    lw=0.8,
                )
        axes.set(xscale="log", xlabel="time t", ylabel=label)
        if name != "correlation":
            axes.set_yscale("log")
        if name in ("energy", "amplification"):  # too small a range for powers of ten
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
    figure.axes[0].legend(fontsize=6.5)
    return figure


@paper_style()
def predicted_success_figure(predicted: xr.Dataset, success: xr.Dataset, budgets: Sequence[float]) -> Figure:
    """P(recovery) against alpha, measured and predicted without a fit, one panel for every time budget.

    Parameters
    ----------
    predicted
        ``half_size`` with dimensions (alpha, budget).
    success
        ``p``, ``lower``, ``upper`` with dimensions (N, alpha, budget).
    budgets
        Time budgets to draw, among those of both; without one, a note says so.
    """
    figure = new_figure(PAGE_WIDTH, 0.42)
    panels = np.atleast_1d(figure.subplots(1, max(len(budgets), 1), sharey=True))
    if not budgets:
        note(panels[0], _NO_BUDGET)
        return figure
    sizes = [int(N) for N in success["N"].values]
    colours, markers = size_colours(sizes), size_markers(sizes)
    fine = np.linspace(float(predicted["alpha"][0]), float(predicted["alpha"][-1]), 200)
    for axes, budget in zip(panels, budgets, strict=True):
        half = predicted["half_size"].sel(budget=budget, method="nearest")
        along = half_size_between(fine, half["alpha"], half)
        at = success.sel(budget=budget, method="nearest")
        for N in sizes:
            cell = at.sel(N=N)
            cell = cell.isel(alpha=np.flatnonzero(np.isfinite(cell["p"].values)))
            p = cell["p"].values
            reach = [np.maximum(p - cell["lower"].values, 0), np.maximum(cell["upper"].values - p, 0)]
            axes.errorbar(
                cell["alpha"],
                p,
                reach,
                fmt=markers[N],
                color=colours[N],
                capsize=1.5,
                lw=0.8,
                label=f"N = {N}",
            )
            axes.plot(fine, success_at(N, along), "-", color=colours[N], lw=1.0)
        axes.set(xlabel=r"$\alpha = M/N$", title=f"budget t = {budget:.3g}", ylim=(-0.03, 1.03))
    panels[0].set_ylabel("P(recovery)")
    panels[0].legend(fontsize=6.5, title="points: runs, lines: no fit", title_fontsize=6.5)
    return figure


@paper_style()
def predicted_alpha_50_figure(
    predicted: xr.Dataset, measured: pd.DataFrame, budgets: Sequence[float], band: Band | None = None
) -> Figure:
    """alpha_50 against N, measured and predicted without a fit, out to N = 10^8.

    Parameters
    ----------
    predicted
        ``half_size`` with dimensions (alpha, budget).
    measured
        Columns ``N, budget, alpha_50, lower, upper``.
    budgets
        Time budgets to draw; without one, a note says so.
    band
        Where marginal minima turn unstable towards the signal for N to infinity, drawn as a band.
    """
    figure = new_figure(COLUMN_WIDTH, 0.8)
    axes = figure.subplots()
    if not budgets:
        note(axes, _NO_BUDGET)
        return figure
    colours = size_colours(range(len(budgets)))
    sizes = np.geomspace(32, _largest_size(predicted, measured), 200)
    for row, budget in enumerate(budgets):
        half = predicted["half_size"].sel(budget=budget, method="nearest")
        line = predicted_alpha_50(sizes, half["alpha"].values, half.values)
        axes.plot(sizes, line, color=colours[row], label=f"t = {budget:.3g}")
        _draw_measured(axes, measured[np.isclose(measured["budget"], budget, rtol=1e-3)], colours[row])
    if band is not None and band.known:
        axes.axhspan(*band, label=UNSTABLE, **BAND)
    axes.set(xscale="log", xlim=(sizes[0], sizes[-1]), xlabel="N", ylabel=r"$\alpha_{50}$")
    if sizes[-1] < _FEW_DECADES * sizes[0]:
        shown = sorted(set(measured["N"].astype(int)))
        axes.set_xticks(shown, [str(N) for N in shown])
        axes.minorticks_off()
    axes.legend(fontsize=6.5, title="points: runs, lines: no fit", title_fontsize=6.5)
    return figure


def _largest_size(predicted: xr.Dataset, measured: pd.DataFrame) -> float:
    """End of the axis of N: where the lines or the runs end, at most 10^8."""
    halves = predicted["half_size"].values
    known = [*halves[np.isfinite(halves)], *(1.5 * measured["N"]), 64.0]
    return float(min(max(known), _LARGEST_SIZE))


def _draw_measured(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    known = rows[np.isfinite(rows["alpha_50"])]
    reach = [known["alpha_50"] - known["lower"], known["upper"] - known["alpha_50"]]
    axes.errorbar(known["N"], known["alpha_50"], np.abs(reach), fmt="o", color=colour, capsize=1.5, lw=0.8)
