"""Phase diagram of the normalised quartic losses: the transitions against the regulariser ``a``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from phasepipe.figures.bands import BAND, EDGE, LITERATURE, ONE_RSB, UNSTABLE
from phasepipe.figures.style import BLACK, BLUE, GREEN, new_figure, paper_style

COLUMNS = (
    "a", "alpha_init", "alpha_most_numerous", "alpha_lowest", "alpha_trivialisation", "alpha_threshold",
)  # fmt: skip
FLOW_COLUMNS = ("a", "alpha_flow", "error")
_TICKS = (0.5, 1, 2, 3, 5, 10, 20, 50, 100)


@paper_style()
def phase_diagram_figure(
    table: pd.DataFrame, *, branch_change: tuple[float, float], flow: pd.DataFrame | None = None
) -> Figure:
    """Transitions for N to infinity against ``a``, and the measured thresholds of the flow.

    See docs/explanation/physics.md §6 and §7, and docs/explanation/landscape.md.

    Parameters
    ----------
    table
        Columns ``a`` (increasing), ``alpha_init``, ``alpha_most_numerous``, ``alpha_lowest``,
        ``alpha_trivialisation`` and ``alpha_threshold``.
    branch_change
        The value of ``a`` above which the transition at a random start is discontinuous, and ``alpha_init``
        at this ``a``.
    flow
        Columns ``a``, ``alpha_flow`` and its standard error ``error``: where the states in which gradient
        flow ends turn unstable, extrapolated to N to infinity.

    Returns
    -------
    Figure
        One panel with two logarithmic axes.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    _require(table, COLUMNS, "the table of transitions")
    grid, initial = table["a"].to_numpy(float), table["alpha_init"].to_numpy(float)
    figure = new_figure(aspect=0.95)
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlim=(grid[0], grid[-1]))
    lowest, numerous = table["alpha_lowest"], table["alpha_most_numerous"]
    axes.fill_between(grid, numerous, lowest, label=UNSTABLE, **BAND)
    axes.plot(grid, lowest, "-", label="those of lowest energy", **EDGE)
    axes.plot(grid, numerous, "--", label="the most numerous", **EDGE)
    axes.plot(grid, table["alpha_trivialisation"], "-.", color=GREEN, label="last stable minima")
    axes.plot(
        grid, table["alpha_threshold"], label=rf"{LITERATURE}, $\alpha_\mathrm{{threshold}}$", **ONE_RSB
    )
    if flow is not None:
        _draw_flow(axes, flow)
    _draw_initial(axes, grid, initial, branch_change)
    axes.set_xlabel(r"regulariser of the loss $a$")
    axes.set_ylabel(r"signal-to-noise ratio $\alpha = M/N$")
    highest = max(float(initial.max()), float(table["alpha_trivialisation"].max()))
    ticks = [tick for tick in _TICKS if 0.8 * initial.min() <= tick <= 1.3 * highest]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0.6 * branch_change[1])  # leaves room for the label of the point
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper center", ncols=2, columnspacing=1.0, handlelength=2.4)
    return figure


def _require(table: pd.DataFrame, columns: tuple[str, ...], what: str) -> None:
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{what} lacks the columns {', '.join(missing)}")


def _draw_flow(axes: Axes, flow: pd.DataFrame) -> None:
    _require(flow, FLOW_COLUMNS, "the table of measured thresholds")
    axes.errorbar(
        flow["a"],
        flow["alpha_flow"],
        flow["error"],
        fmt="o",
        color=BLACK,
        markersize=3,
        capsize=2,
        elinewidth=0.8,
        zorder=5,
        label=r"$\alpha_\mathrm{flow}$, measured",
    )


def _draw_initial(
    axes: Axes,
    grid: NDArray[np.floating[Any]],
    initial: NDArray[np.floating[Any]],
    change: tuple[float, float],
) -> None:
    """Both branches of the transition at a random start, and the point where they meet."""
    for beyond, style, name in ((False, "-", "continuous"), (True, "--", "discontinuous")):
        part_a, part_alpha = _part(grid, initial, change, beyond=beyond)
        axes.plot(part_a, part_alpha, style, color=BLUE, label=rf"$\alpha_\mathrm{{init}}$, {name}")
    axes.plot(*change, "o", color=BLUE, mfc="white", zorder=3)
    axes.annotate(rf"$a_c = {change[0]:.3f}$", change, (-6, -14), textcoords="offset points", ha="right")


def _part(
    grid: NDArray[np.floating[Any]],
    alpha: NDArray[np.floating[Any]],
    branch_change: tuple[float, float],
    *,
    beyond: bool,
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """One branch of the transition line, which ends at the point where the branch changes."""
    change, alpha_there = branch_change
    keep = grid > change if beyond else grid < change
    if beyond:
        return np.r_[change, grid[keep]], np.r_[alpha_there, alpha[keep]]
    return np.r_[grid[keep], change], np.r_[alpha[keep], alpha_there]
