"""Stage *figures*, Hessian: measured and predicted spectra, eigenvalues and overlaps during the descent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from statsmodels.stats.proportion import proportion_confint

from phasepipe.analysis.mixed import most_mixed, share_recovered
from phasepipe.analysis.sizes import join_sizes
from phasepipe.figures.hessian import (
    lowest_eigenvalues_figure,
    most_informative_figure,
    signal_overlap_figure,
    spectra_figure,
)
from phasepipe.figures.hessian_tables import (
    lowest_eigenvalues_table,
    signal_overlap_table,
    spectra_table,
    window_lengths_table,
)
from phasepipe.figures.windows import window_lengths_figure
from phasepipe.log import logger, logging_to
from phasepipe.physics.outcomes import Outcome
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.figure_files import save
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import asked_alphas, open_store, read_runs

_MOMENTS = ("start", "near t_BBP", "end")


def draw_hessian(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Draw the figures ``figures/hessian-*``; spectra, eigenvalues and overlaps are for the largest N."""
    with logging_to(log):
        alpha_init = float(open_store(folder.table("theory"))["alpha_init"])
        sizes = {N: _with_fates(sweep, N, folder) for N in sorted(sweep.N)}
        largest = sizes[max(sizes)]
        middle = largest.isel(alpha=most_mixed(largest["share_recovered"].values))
        phi = _phi(sizes)
        panels, runs, windows = _panels(largest, alpha_init), _as_runs(middle), _windows(sweep, folder)
        lowest = runs.isel(eigenvalue=0)
        limit = None if np.isnan(alpha_init) else alpha_init
        figures = {
            "spectra": (spectra_figure(panels), spectra_table(panels)),
            "eigenvalues": (lowest_eigenvalues_figure(runs), lowest_eigenvalues_table(runs)),
            "overlap": (signal_overlap_figure(lowest), signal_overlap_table(lowest)),
            "windows": (window_lengths_figure(windows), window_lengths_table(windows)),
            "phi": (most_informative_figure(phi, limit), phi.to_dataframe().dropna().reset_index()),
        }
        for name, (figure, numbers) in figures.items():
            save(figure, folder, f"hessian-{name}", numbers)
        logger.info("figures: drew the Hessian at N = %d, alpha = %.4g", max(sizes), float(middle["alpha"]))


def _with_fates(sweep: Sweep, N: int, folder: SweepFolder) -> xr.Dataset:
    """Spectra at one N, with ``t_bbp`` and ``recovered`` of their runs and the share of recovered runs."""
    measured = asked_alphas(open_store(folder.store("spectra", N)), sweep, N).load()
    runs = read_runs(folder, sweep, N)[["t_bbp", "outcome"]].load()
    kept = runs.isel(instance=slice(measured.sizes["instance"]), start=slice(measured.sizes["start"]))
    return measured.assign(
        t_bbp=(kept["t_bbp"].dims, kept["t_bbp"].values),
        recovered=(kept["outcome"].dims, kept["outcome"].values == Outcome.RECOVERED),
        share_recovered=("alpha", share_recovered(runs["outcome"]).values),
    )


def _as_runs(data: xr.Dataset) -> xr.Dataset:
    return data.rename(instance="of_instance").stack(run=("of_instance", "start"), create_index=False)


def _panels(data: xr.Dataset, alpha_init: float) -> xr.Dataset:
    """Panels of one run each at the lowest alpha, the first alpha above alpha_init, and the highest alpha."""
    alphas = data["alpha"].values
    above = np.flatnonzero(alphas > alpha_init)
    between = int(above[0]) if len(above) else len(alphas) // 2
    columns = sorted({0, between, len(alphas) - 1})
    panels = [_panel(data.isel(alpha=column)) for column in columns]
    return xr.concat(panels, "alpha").assign_coords(alpha=alphas[columns])


def _panel(data: xr.Dataset) -> xr.Dataset:
    """Three moments of the run with the largest finite t_BBP, or of the first run if no run has one."""
    runs = _as_runs(data)
    window = runs["t_bbp"].values
    chosen = int(np.nanargmax(np.where(np.isfinite(window), window, -1)))
    run = runs.isel(run=chosen)
    alive = np.flatnonzero(np.isfinite(run["mu"].values))
    times = run["time"].values[alive]
    near = (
        alive[np.abs(times - window[chosen]).argmin()]
        if np.isfinite(window[chosen])
        else alive[len(alive) // 2]
    )
    return spectra_at(run, [alive[0], near, alive[-1]]).assign_coords(moment=list(_MOMENTS))


def spectra_at(run: xr.Dataset, snapshots: Sequence[int]) -> xr.Dataset:
    """The variables of :func:`~phasepipe.figures.hessian.spectra_figure` for one run, by ``moment``.

    Parameters
    ----------
    run
        The stored spectra of one run.
    snapshots
        Positions of the moments along its ``time``.
    """
    at = run.isel(time=list(snapshots)).rename(time="moment")
    names = {"all_eigenvalues": "eigenvalues", "density_eigenvalue": "grid", "grid": "grid_point"}
    panel = at[["all_eigenvalues", "density_eigenvalue", "density", "edge", "outlier"]]
    panel = panel.assign(time=("moment", at["moment"].values)).drop_vars(["moment", "alpha"], errors="ignore")
    return panel.rename(names)


def _windows(sweep: Sweep, folder: SweepFolder) -> xr.Dataset:
    """``t_bbp`` of all runs (N, alpha, run), and the number of runs (N, alpha)."""
    sizes = {}
    for N in sorted(sweep.N):
        # alphas that refine has added with fewer instances are left out
        whole = [M for M, count in sweep.instances_at(N).items() if count >= sweep.instances]
        runs = read_runs(folder, sweep, N)[["t_bbp"]].isel(instance=slice(sweep.instances))
        runs = runs.isel(alpha=np.flatnonzero(np.isin(runs["measurements"].values, whole))).load()
        flat = runs["t_bbp"].values.reshape(runs.sizes["alpha"], -1)
        values = {"t_bbp": (("alpha", "run"), flat), "runs": ("alpha", np.full(len(flat), flat.shape[1]))}
        sizes[N] = xr.Dataset(values, {"alpha": runs["alpha"].values})
    return join_sizes(sizes)


def _phi(sizes: dict[int, xr.Dataset]) -> xr.Dataset:
    """Share of starts whose lowest eigenvector has the largest signal overlap, with 95 % intervals."""
    tables = {}
    for N, data in sizes.items():
        rank = data["largest_signal_overlap_rank"].isel(time=0)
        hits = (rank == 0).sum(("instance", "start")).values
        count = rank.notnull().sum(("instance", "start")).values
        low, high = proportion_confint(hits, count, method="wilson")
        columns = {"phi": hits / count, "phi_low": low, "phi_high": high}
        table = {name: (("alpha",), np.asarray(values)) for name, values in columns.items()}
        tables[N] = xr.Dataset(table, {"alpha": data["alpha"].values})
    return join_sizes(tables)
