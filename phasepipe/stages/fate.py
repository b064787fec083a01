"""Stage *fate*: what decides whether a run recovers? Its fate against what is known early.

The common moment of a cell is the median ``t_BBP`` of the runs that lose their outlier. A run's own
``t_BBP`` is not known early: runs that recover keep the outlier, so it would give the fate away.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.analysis.fates import fate_against
from phasepipe.analysis.mixed import most_mixed, share_recovered
from phasepipe.analysis.sizes import join_sizes
from phasepipe.figures.fate import fate_figure
from phasepipe.log import logger, logging_to
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.streams import Stream, generator
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.figure_files import save
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import provenance
from phasepipe.store.tables import read_runs, require_complete, write_table
from phasepipe.variables import FATE, labelled

Float = NDArray[np.float64]

QUANTITIES = {
    "initial_overlap": "|m| at t = 0",
    "initial_outlier_overlap": "predicted squared overlap of the outlier at t = 0, 0 without outlier",
    "overlap": "|m| at the common moment",
    "outlier_overlap": "predicted squared overlap of the outlier at the common moment, 0 without outlier",
    "window": "t_BBP of the run itself, infinite if it keeps the outlier: known only afterwards",
}
BINS = 5
RESAMPLES = 300  # of whole instances, for the intervals
_LEAST = 10  # runs of either fate below which a cell says nothing
_PER_CELL = ("auc", "auc_low", "auc_high", "runs_left_out")
_PER_BIN = ("probability", "probability_low", "probability_high", "bin_median", "runs")


def relate_fates(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write ``fate.zarr`` and ``figures/fate.*``: P(recovered | early quantity) and its AUC."""
    with logging_to(log):
        table = fate_table(sweep, folder)
        write_table(folder.table("fate"), table)
        mixed = [most_mixed(share) for share in table["share_recovered"].values]
        cells = table.isel(alpha=xr.DataArray(mixed, dims="N")).rename(alpha="cell_alpha")
        save(fate_figure(cells), folder, "fate", cells.to_dataframe().reset_index())
        for name in QUANTITIES:
            auc = table["auc"].sel(quantity=name)
            if auc.notnull().any():
                logger.info("fate: AUC of %s is %.3f in the median cell", name, float(auc.median()))


def fate_table(sweep: Sweep, folder: SweepFolder) -> xr.Dataset:
    """P(recovered | early quantity) and its AUC in every cell, dims (N, alpha, quantity, bin).

    For the first kind of start. Runs that have ended before the common moment are left out there and
    counted; cells with fewer than 10 runs of either fate are NaN.
    """
    table = labelled(join_sizes({N: _of_size(sweep, N, folder) for N in sorted(sweep.N)}), FATE)
    table["quantity"].attrs |= QUANTITIES
    return table.assign_attrs(provenance(sweep))


def _of_size(sweep: Sweep, N: int, folder: SweepFolder) -> xr.Dataset:
    names = ["outcome", "t_bbp", "overlap", "outlier_overlap"]
    stored = read_runs(folder, sweep, N)
    require_complete(sweep, N, stored)
    runs = start_groups(sweep)[0].select(stored[names]).load()
    cells = (runs.sizes["alpha"], len(QUANTITIES))
    values = {name: np.full(cells, np.nan) for name in _PER_CELL}
    values |= {name: np.full((*cells, BINS), np.nan) for name in _PER_BIN}
    moments = np.full(cells[0], np.nan)
    rng = generator(Stream.BOOTSTRAP, sweep.seed, N)
    for row in range(cells[0]):
        cell = runs.isel(alpha=row)
        recovered = (cell["outcome"] == Outcome.RECOVERED).values
        instance = np.broadcast_to(cell["instance"].values[:, None], recovered.shape)
        moments[row], quantities = _quantities(cell)
        for column, quantity in enumerate(quantities):
            known = ~np.isnan(quantity)
            if min((known & recovered).sum(), (known & ~recovered).sum()) < _LEAST:
                continue
            found = fate_against(
                quantity.ravel(), recovered.ravel(), instance.ravel(), bins=BINS, resamples=RESAMPLES, rng=rng
            )
            for name in _PER_CELL:
                values[name][row, column] = found[name]
            for name in _PER_BIN:
                values[name][row, column, : found.sizes["bin"]] = found[name]
    table = xr.Dataset(
        {name: (("alpha", "quantity", "bin")[: array.ndim], array) for name, array in values.items()},
        coords={"alpha": runs["alpha"].values, "quantity": list(QUANTITIES)},
    )
    shares = share_recovered(runs["outcome"]).values
    return table.assign(share_recovered=("alpha", shares), moment=("alpha", moments))


def _quantities(runs: xr.Dataset) -> tuple[float, list[Float]]:
    """The common moment, and the quantities of QUANTITIES in order, shape (instance, start) each."""
    window = runs["t_bbp"].values
    lost = window[np.isfinite(window)]
    moment = float(np.median(lost)) if lost.size else np.nan
    overlap = abs(runs["overlap"])
    # without outlier nothing points to the signal; NaN after the end of the run stays
    pointing = runs["outlier_overlap"].fillna(0.0).where(overlap.notnull())
    nowhere = np.full(window.shape, np.nan)

    def at_moment(values: xr.DataArray) -> Float:
        return nowhere if np.isnan(moment) else values.interp(time=moment).values

    return moment, [
        overlap.isel(time=0).values,
        pointing.isel(time=0).values,
        at_moment(overlap),
        at_moment(pointing),
        window,
    ]
