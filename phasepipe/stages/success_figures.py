"""Stage *figures*: draws the success curves and the losses of a sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.mixed import most_mixed_over_sizes
from phasepipe.figures.bands import Band, Thresholds
from phasepipe.figures.loss import loss_figure, loss_table
from phasepipe.figures.success import success_figure
from phasepipe.log import logger, logging_to
from phasepipe.specification.loss import describe_loss
from phasepipe.specification.start_groups import StartGroup, start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.figure_files import save
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_store, read_runs


def draw_success(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Draw ``figures/success.*`` and ``figures/loss.*``, one figure each per kind of start.

    The success curves use the full time budget. The loss against time is that of the runs that did not
    recover, at the alpha whose success probability is nearest to 1/2.
    """
    with logging_to(log):
        table = open_store(folder.table("success")).isel(budget=-1).load()
        theory = open_store(folder.table("theory")).load()
        marked = None if sweep.zero_signal else thresholds(theory)
        for group in start_groups(sweep):
            figure = success_figure(
                table.isel(start_group=group.position),
                success_title(sweep, group, sweep.t_max),
                marked,
            )
            shown = table.isel(start_group=group.position).drop_vars(["start_kind", "start_m0"])
            save(figure, folder, f"success{group.suffix}", shown.to_dataframe().reset_index())
            _draw_loss(sweep, folder, group, table.isel(start_group=group.position), theory)
        logger.info("figures: drew the success curves and the losses")


def thresholds(theory: xr.Dataset) -> Thresholds:
    """The thresholds in the table of the theory that figures mark; NaN for those that are not in it."""
    names = ("alpha_init", "alpha_most_numerous", "alpha_lowest", "alpha_threshold")
    initial, low, high, one_rsb = (float(theory.get(name, np.nan)) for name in names)
    return Thresholds(initial, Band(low, high), one_rsb)


def energies(theory: xr.Dataset, alpha: float) -> tuple[Band, float]:
    """Energies of the marginal minima and of the 1RSB states at the nearest alpha of the theory, or NaN."""
    states = theory.sel(alpha=alpha, method="nearest")
    names = ("marginal_energy_lowest", "marginal_energy_most_numerous", "threshold_energy")
    low, high, one_rsb = (float(states.get(name, np.nan)) for name in names)
    return Band(low, high), one_rsb


def _draw_loss(
    sweep: Sweep, folder: SweepFolder, group: StartGroup, table: xr.Dataset, theory: xr.Dataset
) -> None:
    alpha = float(table["alpha"][most_mixed_over_sizes(table["p"])])
    losses = {}
    for N in sorted(sweep.N):
        runs = group.select(read_runs(folder, sweep, N)[["outcome", "loss"]])
        near = np.flatnonzero(np.isclose(runs["alpha"].values, alpha, atol=0.5 / N))
        if near.size:
            losses[N] = loss_table(runs.isel(alpha=near[0]).load())
    title = (
        f"{describe_loss(sweep.loss)}, {group.name}\n" + rf"$\alpha$ = {alpha:.3g}, median and central half"
    )
    figure = loss_figure(losses, title, *energies(theory, alpha))
    numbers = [
        loss.to_series().unstack("quantile").add_prefix("quantile_").reset_index().assign(N=N, alpha=alpha)
        for N, loss in losses.items()
    ]
    save(figure, folder, f"loss{group.suffix}", pd.concat(numbers) if numbers else None)


def success_title(sweep: Sweep, group: StartGroup, budget: float, level: float = 0.95) -> str:
    """Loss, kind of start, time budget and intervals of a figure of success."""
    control = ", zero-signal control" if sweep.zero_signal else ""
    what = f"{describe_loss(sweep.loss)}, {group.name}{control}"
    return f"{what}\nrecovered by t = {budget:g}, {100 * level:g} % confidence intervals"
