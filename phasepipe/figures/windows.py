"""Figures of t_BBP, the time at which a run loses the direction that points to the signal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from phasepipe.figures.hessian_tables import require, window_lengths_table
from phasepipe.figures.style import (
    COLUMN_WIDTH,
    GREY,
    THEORY,
    new_figure,
    paper_style,
    size_colours,
    size_markers,
)


@paper_style()
def window_lengths_figure(runs: xr.Dataset) -> Figure:
    """Distribution of t_BBP against alpha for every N, and the share of runs without a t_BBP.

    Parameters
    ----------
    runs
        ``t_bbp`` (N, alpha, run), NaN for runs that never have an outlier and infinite for runs that still
        have it at the last record; ``runs`` (N, alpha), the number of runs, 0 for an alpha that was not run
        at this N; coordinates ``N`` and ``alpha``.

    Raises
    ------
    ValueError
        If a variable is missing.
    """
    require(runs, "t_bbp", "runs")
    figure = new_figure(COLUMN_WIDTH, 1.0)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    numbers = window_lengths_table(runs)
    window_panel(top, numbers)
    top.set_xlabel("")
    colours, markers = _looks(numbers)
    for N, at in numbers.groupby("N"):
        colour, marker = colours[N], markers[N]  # type: ignore[index]
        bottom.plot(at["alpha"], at["never"], color=colour, marker=marker)
        bottom.plot(
            at["alpha"], at["lasting"], color=colour, marker=marker, linestyle="--", markerfacecolor="none"
        )
    bottom.plot([], [], color=GREY, label="never an outlier")
    bottom.plot([], [], color=GREY, linestyle="--", label="outlier until the end")
    bottom.legend()
    bottom.set_ylim(-0.03, 1.03)
    bottom.set_ylabel("share of runs")
    bottom.set_xlabel("signal-to-noise ratio α = M / N")
    return figure


def window_panel(axes: Axes, numbers: pd.DataFrame) -> None:
    """Draw the upper part of :func:`window_lengths_figure` into ``axes``.

    ``numbers`` has the columns ``N, alpha, lower, median, upper`` of
    :func:`~phasepipe.figures.hessian_tables.window_lengths_table`.
    """
    alphas = np.unique(numbers["alpha"])
    spacing = np.diff(alphas).min() if alphas.size > 1 else 1.0
    colours, markers = _looks(numbers)
    for index, (N, at) in enumerate(numbers.groupby("N")):
        position = at["alpha"] + spacing * 0.08 * (index - (len(colours) - 1) / 2)
        spread = [at["median"] - at["lower"], at["upper"] - at["median"]]
        axes.errorbar(
            position, at["median"], yerr=spread, color=colours[N], marker=markers[N],  # type: ignore[index]
            capsize=1.5, elinewidth=0.8, label=f"N = {N}",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    axes.set_xlabel("signal-to-noise ratio α = M / N")
    axes.set_ylabel("t_BBP (median, central half)")
    axes.legend()


def _looks(numbers: pd.DataFrame) -> tuple[dict[int, str], dict[int, str]]:
    """Colour and marker of every N of a table."""
    sizes = numbers["N"].unique().tolist()
    return size_colours(sizes), size_markers(sizes)


@paper_style()
def window_limit_figure(predicted: xr.Dataset, measured: pd.DataFrame) -> Figure:
    """t_BBP against alpha: for N to infinity, and medians over the runs of every N.

    Parameters
    ----------
    predicted
        ``t_bbp`` and ``t_bbp_error`` with dimension alpha, NaN where there is never an outlier.
    measured
        Columns ``N, alpha, lower, median, upper``: quartiles over the runs that lose their outlier.
    """
    figure = new_figure(COLUMN_WIDTH, 0.8)
    axes = figure.subplots()
    sizes = sorted(measured["N"].unique().tolist())
    colours, markers = size_colours(sizes), size_markers(sizes)
    for N in sizes:
        rows = measured[measured["N"] == N]
        reach = [rows["median"] - rows["lower"], rows["upper"] - rows["median"]]
        axes.errorbar(
            rows["alpha"], rows["median"], reach, fmt=markers[N], color=colours[N], lw=0.8, label=f"N = {N}"
        )
    shown = window_limit_line(axes, predicted)
    axes.set(xlabel=r"$\alpha = M/N$", ylabel=r"$t_{\mathrm{BBP}}$, median and central half")
    if shown or len(measured):  # a logarithmic axis needs something to show
        axes.set_yscale("log")
    axes.legend(fontsize=6.5)
    return figure


def window_limit_line(axes: Axes, predicted: xr.Dataset) -> bool:
    """Draw t_BBP for N to infinity into ``axes``; False where there is never an outlier."""
    finite = np.isfinite(predicted["t_bbp"].values)
    at = predicted.isel(alpha=np.flatnonzero(finite))
    axes.errorbar(
        at["alpha"], at["t_bbp"], at["t_bbp_error"], color=THEORY["color"], marker="x", label=r"N $\to\infty$"
    )
    return bool(finite.any())
