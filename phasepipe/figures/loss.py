"""Loss against time of the runs that did not recover, beside the energy of the threshold states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.figures.style import THEORY, new_figure, size_colours
from phasepipe.physics.outcomes import Outcome


def stuck_loss(runs: xr.Dataset) -> xr.DataArray:
    """Quartiles of the loss against time over the runs that did not recover.

    Parameters
    ----------
    runs
        ``outcome`` (instance, start) and ``loss`` per dimension (instance, start, time).

    Returns
    -------
    Dimensions (quantile, time), quantile 0.25, 0.5, 0.75; NaN if every run recovered. A trapped run rests
    in its minimum and keeps the last loss recorded.
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


def loss_figure(
    losses: Mapping[int, xr.DataArray], title: str, threshold_energy: float | None = None
) -> Figure:
    """Median and central half of the loss per N, from t = 0.01 on.

    Parameters
    ----------
    losses
        For each N the result of :func:`stuck_loss`.
    title
        What was run.
    threshold_energy
        Energy of the threshold states per dimension (PHYSICS §7), drawn as a line.
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
    if threshold_energy is not None:
        axes.axhline(threshold_energy, label=r"threshold states, N $\to\infty$", **THEORY)
    axes.set(xscale="log", yscale="log", xlabel="time t", ylabel="loss per N, runs not recovered")
    axes.set_title(title, loc="left")
    axes.legend()
    return figure
