"""Figures of the Hessian during the descent: spectra, eigenvalues, signal overlap and phi.

See docs/explanation/physics.md §4 and §5. Every function takes a dataset and returns a matplotlib figure,
without writing files. Its docstring lists the variables that the dataset must contain; others are ignored.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from phasepipe.figures.hessian_tables import lowest_eigenvalues_table, require, signal_overlap_table
from phasepipe.figures.style import (
    BLUE,
    COLUMN_WIDTH,
    GREY,
    PAGE_WIDTH,
    PURPLE,
    SKY,
    THEORY,
    VERMILION,
    new_figure,
    paper_style,
    size_colours,
    size_markers,
)

# colour, label and line style of the two lowest eigenvalues and of their prediction
EIGENVALUES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lambda_0": (BLUE, "λ₀ measured", {"marker": "o"}),
    "lambda_1": (SKY, "λ₁ measured", {"marker": "s"}),
    "edge": (GREY, "edge predicted", {"linestyle": "--"}),
    "outlier": (VERMILION, "outlier predicted", {}),
}


@paper_style()
def spectra_figure(panels: xr.Dataset, share_shown: float = 0.7) -> Figure:
    """Measured and predicted spectra, one row per moment of the descent and one column per alpha.

    Parameters
    ----------
    panels
        Spectra of a single run per panel, because runs with different ``mu`` would blur each other.
        ``eigenvalues`` (alpha, moment, mode) is the full spectrum, ``grid`` and ``density`` (alpha, moment,
        grid) the predicted bulk; ``edge``, ``outlier`` and ``time`` are (alpha, moment). Coordinates are
        ``alpha`` and the text ``moment``.
    share_shown
        Share of the eigenvalues that the horizontal axis covers; the long right tail is cut off.

    Raises
    ------
    ValueError
        If a variable is missing.
    """
    require(panels, "eigenvalues", "grid", "density", "edge", "outlier", "time")
    rows, columns = panels.sizes["moment"], panels.sizes["alpha"]
    figure = new_figure(PAGE_WIDTH, (1.6 * rows + 0.4) / PAGE_WIDTH)
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, moment in enumerate(panels["moment"].values):
        for column, alpha in enumerate(panels["alpha"].values):
            axis = axes[row, column]
            spectrum_panel(axis, panels.isel(alpha=column, moment=row), share_shown)
            axis.set_title(f"α = {alpha:g}, {moment} (t = {float(panels.time[column, row]):.3g})")
            if row < rows - 1:
                axis.set_xlabel("")
            if column:
                axis.set_ylabel("")
    _legend_below(figure, axes[0, 0])
    return figure


def spectrum_panel(axis: Axes, panel: xr.Dataset, share_shown: float = 0.7) -> None:
    """Draw one panel of :func:`spectra_figure`, without its legend, into ``axis``.

    ``panel`` has the variables of one alpha and moment: ``eigenvalues, grid, density, edge, outlier``.
    """
    values = panel.eigenvalues.values
    values = values[np.isfinite(values)]
    outlier = panel.outlier.item()
    marks = [values.min(), *_finite([panel.edge.item(), outlier])]
    right = np.quantile(values, share_shown)
    left = min(marks) - 0.06 * (right - min(marks))
    edges = np.linspace(left, right, 61)
    counts, _ = np.histogram(values, edges)
    axis.stairs(
        counts / (values.size * np.diff(edges)),
        edges,
        fill=True,
        color=SKY,
        alpha=0.6,
        label="measured spectrum",
    )
    inside = (panel.grid.values >= left) & (panel.grid.values <= right)
    axis.plot(panel.grid.values[inside], panel.density.values[inside], color=BLUE, label="predicted bulk")
    # a histogram does not show a single eigenvalue, so it gets a marker; NaN still gives a legend entry
    mark: dict[str, Any] = {
        "marker": "v",
        "linestyle": "none",
        "markersize": 5,
        "clip_on": False,
        "zorder": 5,
    }
    axis.plot(outlier, 0, color=VERMILION, markeredgecolor="none", label="predicted outlier", **mark)
    axis.plot(values.min(), 0, color=BLUE, markerfacecolor="none", label="measured λ₀", **mark)
    axis.axvline(panel.edge.item(), color=GREY, linestyle=":", linewidth=1, label="predicted edge")
    axis.axvline(0, color="black", linewidth=0.5)
    axis.set_xlim(left, right)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("eigenvalue λ")
    axis.set_ylabel("density ρ(λ)")


@paper_style()
def lowest_eigenvalues_figure(runs: xr.Dataset) -> Figure:
    """The two lowest eigenvalues and the predicted bulk edge and outlier against time.

    The upper panel shows the eigenvalues, the lower one their distance from the predicted bulk edge. Lines
    are medians over runs, bands contain the central half of the runs.

    Parameters
    ----------
    runs
        ``eigenvalues`` (run, time, eigenvalue) with at least two eigenvalues; ``edge`` and ``outlier``
        (run, time); ``t_bbp`` (run), which is NaN or infinite for runs without a t_BBP; coordinate ``time``.

    Raises
    ------
    ValueError
        If a variable is missing.
    """
    require(runs, "eigenvalues", "edge", "outlier", "t_bbp")
    figure = new_figure(COLUMN_WIDTH, 1.15)
    top, bottom = figure.subplots(2, 1, sharex=True)
    bands = lowest_eigenvalues_table(runs)
    for axis, reference in ((top, "zero"), (bottom, "edge")):
        for quantity, (colour, label, look) in EIGENVALUES.items():
            at = bands[(bands["measured_from"] == reference) & (bands["quantity"] == quantity)]
            axis.fill_between(at["time"], at["lower"], at["upper"], color=colour, alpha=0.2, linewidth=0)
            axis.plot(at["time"], at["median"], color=colour, label=label, **look)
        mark_window(axis, bands["t_bbp"].iloc[0])
        time_axis(axis, runs["time"].values)
    top.axhline(0, color="black", linewidth=0.5)
    top.set_xlabel("")
    top.set_ylabel("eigenvalue λ")
    bottom.set_ylabel("λ − predicted edge")
    top.legend()
    return figure


@paper_style()
def signal_overlap_figure(runs: xr.Dataset) -> Figure:
    """Signal overlap of the lowest eigenvector against time, in separate panels for recovered and other runs.

    Lines are means over runs. A predicted overlap counts as 0 while there is no predicted outlier.

    Parameters
    ----------
    runs
        ``signal_overlap`` (run, time), the measured ``q_0``, NaN after the end of a run;
        ``outlier_overlap`` (run, time), predicted, NaN without an outlier; ``recovered`` (run), bool;
        ``t_bbp`` (run); coordinate ``time``.

    Raises
    ------
    ValueError
        If a variable is missing.
    """
    require(runs, "signal_overlap", "outlier_overlap", "recovered", "t_bbp")
    figure = new_figure(PAGE_WIDTH, 0.42)
    axes = figure.subplots(1, 2, sharey=True)
    bands = signal_overlap_table(runs)
    recovered = runs.recovered.values.astype(bool)
    looks = {"measured": (BLUE, "q₀ measured", "o"), "predicted": (VERMILION, "q predicted", "")}
    for axis, chosen, fate in zip(axes, (recovered, ~recovered), ("recovered", "not recovered"), strict=True):
        axis.set_title(f"{fate}: {chosen.sum()} runs")
        of_fate = bands[bands["fate"] == fate]
        for quantity, at in of_fate.groupby("quantity"):
            colour, label, marker = looks[str(quantity)]
            low, high = at["mean"] - at["error"], at["mean"] + at["error"]
            axis.fill_between(at["time"], low, high, color=colour, alpha=0.2, linewidth=0)
            axis.plot(at["time"], at["mean"], color=colour, label=label, marker=marker)
        if len(of_fate):
            mark_window(axis, of_fate["t_bbp"].iloc[0])
        time_axis(axis, runs["time"].values)
    axes[0].set_ylabel("squared overlap with the signal direction")
    axes[0].set_ylim(bottom=0)
    axes[1 if (~recovered).any() else 0].legend()
    return figure


@paper_style()
def most_informative_figure(shares: xr.Dataset, alpha_init: float | None = None) -> Figure:
    """Share phi of starts whose lowest eigenvector has the largest signal overlap of all eigenvectors.

    Parameters
    ----------
    shares
        ``phi``, ``phi_low``, ``phi_high`` (N, alpha); coordinates ``N`` and ``alpha``.
    alpha_init
        BBP transition at a random start for N to infinity (docs/explanation/physics.md §6); drawn if given.

    Raises
    ------
    ValueError
        If a variable is missing.
    """
    require(shares, "phi", "phi_low", "phi_high")
    figure = new_figure(COLUMN_WIDTH, 0.8)
    axis = figure.subplots()
    alpha = shares["alpha"].values
    sizes = shares["N"].values.tolist()
    colours, markers = size_colours(sizes), size_markers(sizes)
    for index, N in enumerate(sizes):
        colour, marker = colours[N], markers[N]
        line = shares.isel(N=index)
        axis.fill_between(
            alpha, line.phi_low.values, line.phi_high.values, color=colour, alpha=0.2, linewidth=0
        )
        axis.plot(alpha, line.phi.values, color=colour, marker=marker, label=f"N = {N}")
    if alpha_init is not None:
        axis.axvline(alpha_init, **THEORY, label=f"α_init = {alpha_init:.3f} (N → ∞)")
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel("signal-to-noise ratio α = M / N")
    axis.set_ylabel("φ: lowest eigenvector most informative")
    axis.legend()
    return figure


def _finite(values: list[float]) -> list[float]:
    return [value for value in values if np.isfinite(value)]


def mark_window(axis: Axes, t_bbp: float, label: str = "t_BBP (median)") -> None:
    """Mark t_BBP, if the outlier is lost at all."""
    if np.isfinite(t_bbp):
        axis.axvline(t_bbp, color=PURPLE, linestyle=":", label=label)


def time_axis(axis: Axes, time: NDArray[np.float64]) -> None:
    """Make the time axis logarithmic, except for a linear part that contains t = 0."""
    axis.set_xscale("symlog", linthresh=float(time[time > 0].min()), linscale=0.5)
    axis.set_xlim(0, float(time.max()))
    axis.set_xlabel("time t")


def _legend_below(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    columns = min(len(labels), int(figure.get_figwidth() / 1.3))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
