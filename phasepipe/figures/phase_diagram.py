"""Phase diagram of the normalised quartic losses: both BBP transitions against the regulariser ``a``."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from phasepipe.figures.style import BLUE, VERMILION, new_figure, paper_style

_GREY = "#595959"


@paper_style()
def phase_diagram_figure(
    a: ArrayLike,
    alpha_init: ArrayLike,
    alpha_threshold: ArrayLike,
    *,
    branch_change: tuple[float, float],
    quartic_limit: float,
) -> Figure:
    """Both BBP transitions against ``a``, with the change of branch and the quartic limit marked.

    See docs/explanation/physics.md §6 and §7.

    Parameters
    ----------
    a
        Regulariser of the loss, increasing, shape (n,).
    alpha_init, alpha_threshold
        Signal-to-noise ratio M / N at the two transitions, shape (n,) each.
    branch_change
        The value of ``a`` above which the transition at a random start is discontinuous, and ``alpha_init``
        at this ``a``.
    quartic_limit
        ``alpha_threshold`` of the quartic loss, which is the limit of large ``a``.

    Returns
    -------
    Figure
        One panel with two logarithmic axes.

    Raises
    ------
    ValueError
        If the three arrays differ in shape.
    """
    grid, initial, threshold = (
        np.asarray(values, dtype=float) for values in (a, alpha_init, alpha_threshold)
    )
    if not (grid.ndim == 1 and grid.shape == initial.shape == threshold.shape):
        raise ValueError(
            f"a, alpha_init and alpha_threshold have the shapes {grid.shape}, {initial.shape} and "
            f"{threshold.shape}; pass three one-dimensional arrays of equal length"
        )
    figure = new_figure(aspect=0.75)
    axes = figure.add_subplot()
    axes.set(xscale="log", yscale="log", xlim=(grid[0], grid[-1]))
    for beyond, style, name in ((False, "-", "continuous"), (True, "--", "discontinuous")):
        part_a, part_alpha = _part(grid, initial, branch_change, beyond=beyond)
        axes.plot(part_a, part_alpha, style, color=BLUE, label=rf"$\alpha_\mathrm{{init}}$, {name}")
    axes.plot(*branch_change, "o", color=BLUE, mfc="white", zorder=3)
    axes.annotate(
        rf"$a_c = {branch_change[0]:.3f}$",
        branch_change,
        (-6, -14),
        textcoords="offset points",
        ha="right",
    )
    axes.plot(grid, threshold, color=VERMILION, label=r"$\alpha_\mathrm{threshold}$")
    axes.axhline(quartic_limit, color=_GREY, lw=1, ls=":")
    axes.annotate(
        rf"quartic loss, $\alpha_\mathrm{{threshold}} = {quartic_limit:.2f}$",
        (grid[0], quartic_limit),
        (6, 4),
        textcoords="offset points",
        color=_GREY,
    )
    axes.set_xlabel(r"regulariser of the loss $a$")
    axes.set_ylabel(r"signal-to-noise ratio $\alpha = M/N$")
    highest = max(float(initial.max()), quartic_limit)
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50, 100) if 0.8 * initial.min() <= tick <= 1.3 * highest]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0.6 * branch_change[1])  # leaves room for the label of the point
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left")
    return figure


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
