"""Loss against time of the runs that did not recover, compared with the energies of marginal minima."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phasepipe.figures.bands import BAND, LITERATURE, ONE_RSB, Band
from phasepipe.figures.style import new_figure, paper_style, size_colours
from phasepipe.physics.outcomes import Outcome


def loss_table(runs: xr.Dataset) -> xr.DataArray:
    """Quartiles against time of the loss of the runs that did not recover.

    Parameters
    ----------
    runs
        ``outcome`` (instance, start) and ``loss`` per dimension (instance, start, time).

    Returns
    -------
    Array (quantile, time) at the quantiles 0.25, 0.5 and 0.75; NaN if every run recovered. A trapped run
    stays in its minimum, so its last recorded loss counts at all later times.
    """
    stuck = runs["outcome"].isin([Outcome.TRAPPED, Outcome.UNDECIDED])
    rows = runs["loss"].where(stuck).transpose("instance", "start", "time").values
    rows = rows.reshape(-1, rows.shape[-1])
    rows = rows[np.isfinite(rows[:, 0])].astype(float)
    for column in range(1, rows.shape[1]):
        ended = np.isnan(rows[:, column])
        rows[ended, column] = rows[ended, column - 1]
    quantiles = [0.25, 0.5, 0.75]
    values = np.quantile(rows, quantiles, axis=0) if len(rows) else np.full((3, rows.shape[1]), np.nan)
    return xr.DataArray(
        values,
        dims=("quantile", "time"),
        coords={"quantile": quantiles, "time": runs["time"].values},
        attrs={"long_name": "loss per dimension", "units": "1"},
    )


@paper_style()
def loss_figure(
    losses: Mapping[int, xr.DataArray],
    title: str,
    marginal: Band | None = None,
    one_rsb: float | None = None,
) -> Figure:
    """Median and central half of the loss per dimension against time, for every N.

    Parameters
    ----------
    losses
        Result of :func:`loss_table` for each N.
    title
        Title of the figure.
    marginal
        Energies per dimension of the marginal minima for N to infinity: of complexity 0, and the most
        numerous (docs/explanation/landscape.md).
    one_rsb
        Energy per dimension of the threshold states of the literature (docs/explanation/physics.md §7).
    """
    figure = new_figure(aspect=0.8)
    axes = figure.subplots()
    colours = size_colours(losses)
    for N, loss in sorted(losses.items()):
        shown = loss.isel(time=loss["time"].values > 0)
        time = shown["time"].values
        low, median, high = shown.values
        axes.plot(time, median, color=colours[N], label=f"N = {N}")
        axes.fill_between(time, low, high, color=colours[N], alpha=0.2, linewidth=0)
    energies_of_theory(axes, marginal, one_rsb)
    axes.set(xscale="log", yscale="log", xlabel="time t", ylabel="loss per N, runs not recovered")
    axes.set_title(title, loc="left")
    axes.legend()
    return figure


def energies_of_theory(axes: Axes, marginal: Band | None, one_rsb: float | None) -> None:
    """Draw the energies of :func:`loss_figure` for N to infinity into ``axes``, those that are known."""
    if marginal is not None and marginal.known:
        axes.axhspan(*marginal, label=r"marginal minima, N $\to\infty$", **BAND)
    if one_rsb is not None and np.isfinite(one_rsb):
        axes.axhline(one_rsb, label=rf"{LITERATURE}, N $\to\infty$", **ONE_RSB)
