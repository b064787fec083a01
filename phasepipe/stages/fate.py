"""Stage *fate*: how well do quantities known early in a run predict whether it recovers?

The quantities are evaluated at t = 0 and at one later time per cell (N, alpha), the median ``t_BBP`` of the
runs that lose their outlier. A run's own ``t_BBP`` would not be an early quantity: runs that recover keep the
outlier, so it reveals the fate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.analysis.fates import fate_against, growth_of_area
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
    "initial_outlier_overlap": "predicted squared overlap of the outlier at t = 0, 0 without an outlier",
    "overlap": "|m| at the median t_BBP of the cell",
    "outlier_overlap": "predicted squared overlap of the outlier at the median t_BBP, 0 without an outlier",
    "window": "t_BBP of the run itself, infinite if it keeps the outlier; known only after the run",
}
BINS = 5
RESAMPLES = 300  # bootstrap resamples of whole instances, for the confidence intervals
_LEAST = 10  # a cell needs this many recovered runs and this many others
_PER_CELL = ("auc", "auc_low", "auc_high", "runs_left_out")
_GROWTH = ("auc_growth", "auc_growth_low", "auc_growth_high")  # of |m|, from t = 0 to the median t_BBP
_PER_BIN = ("probability", "probability_low", "probability_high", "bin_median", "runs")


def relate_fates(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write ``fate.zarr`` and ``figures/fate.*``: P(recovered | early quantity) and its AUC.

    Raises
    ------
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    with logging_to(log):
        table = fate_table(sweep, folder)
        write_table(folder.table("fate"), table)
        mixed = [most_mixed(share) for share in table["share_recovered"].values]
        cells = table.isel(alpha=xr.DataArray(mixed, dims="N")).rename(alpha="cell_alpha")
        save(fate_figure(cells), folder, "fate", cells.to_dataframe().reset_index())
        if table["auc"].isnull().all():
            logger.info("fate: no cell has %d recovered and %d other runs", _LEAST, _LEAST)
        for name in QUANTITIES:
            auc = table["auc"].sel(quantity=name)
            if auc.notnull().any():
                logger.info("fate: AUC of %s is %.3f in the median cell", name, float(auc.median()))


def fate_table(sweep: Sweep, folder: SweepFolder) -> xr.Dataset:
    """P(recovered | early quantity) and its AUC in every cell, dimensions (N, alpha, quantity, bin).

    The table covers the first kind of start. Runs that end before the median t_BBP of their cell are left out
    of the quantities at this time, and counted. Cells with fewer than 10 recovered or fewer than 10 other
    runs are NaN.

    Raises
    ------
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    table = labelled(join_sizes({N: _size_table(sweep, N, folder) for N in sorted(sweep.N)}), FATE)
    table["quantity"].attrs |= QUANTITIES
    return table.assign_attrs(provenance(sweep))


def _size_table(sweep: Sweep, N: int, folder: SweepFolder) -> xr.Dataset:
    names = ["outcome", "t_bbp", "overlap", "outlier_overlap"]
    stored = read_runs(folder, sweep, N)
    require_complete(sweep, N, stored)
    runs = start_groups(sweep)[0].select(stored[names]).load()
    cells = (runs.sizes["alpha"], len(QUANTITIES))
    values = {name: np.full(cells, np.nan) for name in _PER_CELL}
    values |= {name: np.full((*cells, BINS), np.nan) for name in _PER_BIN}
    moments, growths = np.full(cells[0], np.nan), np.full((cells[0], len(_GROWTH)), np.nan)
    rng = generator(Stream.BOOTSTRAP, sweep.seed, N)
    for row in range(cells[0]):
        cell = runs.isel(alpha=row)
        recovered = (cell["outcome"] == Outcome.RECOVERED).values
        instance = np.broadcast_to(cell["instance"].values[:, None], recovered.shape)
        moments[row], quantities = _quantities(cell)
        runs_of_cell = recovered.ravel(), instance.ravel()
        for column, quantity in enumerate(quantities):
            if not _enough(quantity, recovered):
                continue
            found = fate_against(quantity.ravel(), *runs_of_cell, bins=BINS, resamples=RESAMPLES, rng=rng)
            for name in _PER_CELL:
                values[name][row, column] = found[name]
            for name in _PER_BIN:
                values[name][row, column, : found.sizes["bin"]] = found[name]
        early, late = (quantities[list(QUANTITIES).index(name)] for name in ("initial_overlap", "overlap"))
        if _enough(early + late, recovered):
            growths[row] = growth_of_area(
                early.ravel(), late.ravel(), *runs_of_cell, resamples=RESAMPLES, rng=rng
            )
    table = xr.Dataset(
        {name: (("alpha", "quantity", "bin")[: array.ndim], array) for name, array in values.items()},
        coords={"alpha": runs["alpha"].values, "quantity": list(QUANTITIES)},
    )
    shares = share_recovered(runs["outcome"]).values
    table = table.assign({name: ("alpha", column) for name, column in zip(_GROWTH, growths.T, strict=True)})
    return table.assign(share_recovered=("alpha", shares), moment=("alpha", moments))


def _enough(quantity: Float, recovered: NDArray[np.bool_]) -> bool:
    """Whether the quantity is known for enough recovered runs and enough others."""
    known = ~np.isnan(quantity)
    return bool(min((known & recovered).sum(), (known & ~recovered).sum()) >= _LEAST)


def _quantities(runs: xr.Dataset) -> tuple[float, list[Float]]:
    """Median t_BBP of the cell, and its quantities in the order of QUANTITIES, each (instance, start)."""
    window = runs["t_bbp"].values
    lost = window[np.isfinite(window)]
    moment = float(np.median(lost)) if lost.size else np.nan
    overlap = abs(runs["overlap"])
    # without an outlier its overlap counts as 0; after the end of the run it stays NaN
    outlier_overlap = runs["outlier_overlap"].fillna(0.0).where(overlap.notnull())
    unknown = np.full(window.shape, np.nan)

    def at_moment(values: xr.DataArray) -> Float:
        return unknown if np.isnan(moment) else values.interp(time=moment).values

    return moment, [
        overlap.isel(time=0).values,
        outlier_overlap.isel(time=0).values,
        at_moment(overlap),
        at_moment(outlier_overlap),
        window,
    ]
