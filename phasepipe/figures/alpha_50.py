"""alpha_50 against N beside the thresholds for N to infinity."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from phasepipe.analysis.predicted import predicted_alpha_50
from phasepipe.figures.bands import BAND, LITERATURE, ONE_RSB, UNSTABLE, Thresholds
from phasepipe.figures.extrapolation import LABELS, mark_bound
from phasepipe.figures.scaling import log_sizes
from phasepipe.figures.style import THEORY


def alpha_50_panel(
    axes: Axes,
    table: xr.Dataset,
    title: str,
    thresholds: Thresholds | None = None,
    half_size: xr.DataArray | None = None,
) -> None:
    """Draw alpha_50 against N into ``axes``.

    Parameters
    ----------
    axes
        Where to draw.
    table
        ``alpha_50, alpha_50_lower, alpha_50_upper`` (N). An end that is infinite is not drawn; a triangle
        marks the bound where the alphas that were run do not bracket alpha_50.
    title
        Title of the panel.
    thresholds
        Thresholds for N to infinity; those that are NaN are not drawn.
    half_size
        Predicted dimension at which half of the runs recover (alpha), for the line of the prediction.
    """
    sizes = table["N"].values.astype(float)
    value, lower, upper = (table[f"alpha_50{end}"].values for end in ("", "_lower", "_upper"))
    known = np.isfinite(value)
    reach = np.array([value - lower, upper - value])[:, known]
    axes.errorbar(
        sizes[known], value[known], np.where(np.isfinite(reach), reach, 0), fmt="ko", capsize=1.5, zorder=5
    )
    for row in np.flatnonzero(~known):
        mark_bound(axes, sizes[row], lower[row], upper[row])
    if half_size is not None:
        along = np.geomspace(sizes.min(), sizes.max(), 100)
        line = predicted_alpha_50(along, half_size["alpha"].values, half_size.values)
        axes.plot(along, line, color=THEORY["color"], label="predicted without a fit")
    if thresholds is not None:
        if thresholds.unstable.known:
            axes.axhspan(*thresholds.unstable, label=rf"{UNSTABLE}, N $\to\infty$", **BAND)
        for alpha, label, style in (
            (thresholds.one_rsb, rf"{LITERATURE}, N $\to\infty$", ONE_RSB),
            (thresholds.initial, r"$\alpha_{\mathrm{init}}$, N $\to\infty$", THEORY),
        ):
            if np.isfinite(alpha):
                axes.axhline(alpha, label=label, **style)
    log_sizes(axes, sizes)
    axes.set(xlabel="$N$", ylabel=LABELS["alpha_50"])
    axes.set_title(title, loc="left")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
