"""Stage *success*: success probability with intervals for every N, alpha, kind of start and time budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from phasepipe.analysis.sizes import join_sizes
from phasepipe.analysis.success import success_table
from phasepipe.log import logger, logging_to
from phasepipe.physics.record_times import record_times
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.folder import SweepFolder
from phasepipe.store.provenance import provenance
from phasepipe.store.tables import asked_instances, read_runs, require_complete, write_table

_BUDGETS_PER_DECADE = 4
_SHORTEST_BUDGET = 1.0


def estimate_success(sweep: Sweep, folder: SweepFolder, log: Path | None = None) -> None:
    """Write ``success.zarr`` from the runs of all N.

    Raises
    ------
    IncompleteError
        If runs that the sweep requests are not computed.
    """
    with logging_to(log):
        table = join_sizes({N: _table(sweep, N, folder) for N in sorted(sweep.N)})
        write_table(folder.table("success"), table.assign_attrs(provenance(sweep)))
        logger.info("success: wrote %d cells to %s", table["p"].size, folder.table("success"))


def time_budgets(t_max: float) -> list[float]:
    """Time budgets at which success is estimated, four per decade up to ``t_max``, ascending."""
    times = record_times(t_max, _BUDGETS_PER_DECADE, first=_SHORTEST_BUDGET)[1:]
    return [float(time) for time in times]


def _table(sweep: Sweep, N: int, folder: SweepFolder) -> xr.Dataset:
    """Success table of one N, dimensions (alpha, start_group, budget)."""
    runs = read_runs(folder, sweep, N)[["outcome", "recovery_time", "end_time", "status"]].load()
    require_complete(sweep, N, runs)
    budgets = time_budgets(sweep.t_max)
    groups = start_groups(sweep)
    tables = []
    for group in groups:
        chosen = group.select(runs)
        tables.append(
            success_table(
                chosen["outcome"],
                chosen["recovery_time"],
                sweep.t_max,
                budgets=budgets,
                stop_time=chosen["end_time"],
                asked=asked_instances(sweep, N, chosen),
            )
        )
    table = xr.concat(tables, "start_group")
    kinds, overlaps = [group.kind for group in groups], [group.m0 for group in groups]
    table = table.assign_coords(
        start_kind=("start_group", np.array(kinds, np.uint8), ATTRIBUTES["start_kind"]),
        start_m0=("start_group", np.array(overlaps), ATTRIBUTES["start_m0"]),
    )
    table.attrs = tables[0].attrs
    return table
