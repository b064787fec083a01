"""Success of a sweep, and counts for its fits: from the runs, or from the tables of a reduced sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.counts import counts_from_xarray
from phasepipe.analysis.recovery_times import RecoveryTimes, kept_runs
from phasepipe.analysis.sizes import join_sizes
from phasepipe.analysis.success import counts_at_budget, success_table
from phasepipe.analysis.time_limit import time_limit_dataset
from phasepipe.figures.hessian_tables import window_lengths_table
from phasepipe.physics.outcomes import Outcome, unfinished
from phasepipe.results.selection import QueryError, is_reduced, listed, require_size, stored_sizes
from phasepipe.specification.start_groups import StartGroup
from phasepipe.specification.sweep import Sweep
from phasepipe.store.block_store import REACHED
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import asked_instances, asked_runs, open_store

_WINDOWS = ("N", "alpha", "lower", "median", "upper", "never", "lasting", "runs")


def estimated_sizes(tree: xr.DataTree) -> list[int]:
    """All N for which there are runs, or counts of them, ascending.

    Raises
    ------
    QueryError
        If there are none.
    """
    if is_reduced(tree):
        return sorted(tree["counts"].to_dataset()["N"].values.tolist())
    return stored_sizes(tree)


def stored_runs(tree: xr.DataTree, N: int) -> xr.Dataset:
    """The runs at ``N`` without Dask, whose overhead exceeds the time for reading."""
    require_size(stored_sizes(tree), N)
    return open_store(SweepFolder(Path(tree.attrs["folder"])).store("runs", N))


def _of_group(tree: xr.DataTree, sweep: Sweep, group: StartGroup, N: int, names: Sequence[str]) -> xr.Dataset:
    """Load some variables of the requested runs at ``N`` for one kind of start."""
    return group.select(asked_runs(stored_runs(tree, N)[list(names)], sweep, N)).load()


def _runs(tree: xr.DataTree, sweep: Sweep, group: StartGroup, N: int, names: Sequence[str]) -> xr.Dataset:
    """Outcome and times of the requested runs at ``N``, from the runs or from what is kept of them."""
    if not is_reduced(tree):
        return _of_group(tree, sweep, group, N, names)
    recovery = tree["recovery"].to_dataset()
    require_size(recovery["N"].values.tolist(), N)
    return kept_runs(recovery, N, group.position)[list(names)]


def _reaching(tree: xr.DataTree, sweep: Sweep, group: StartGroup, N: int, budget: float) -> xr.Dataset:
    """Outcomes and times of the runs; those that are still to be continued to ``budget`` are pending."""
    # if every run has ended at this budget, do not read end_time, a third of the chunks
    ended = budget == sweep.t_max and (is_reduced(tree) or budget == stored_runs(tree, N).attrs.get(REACHED))
    names = ["outcome", "recovery_time", *([] if ended else ["end_time"])]
    runs = _runs(tree, sweep, group, N, names)
    if not ended:
        short = unfinished(runs["outcome"], runs["end_time"], budget)
        runs["outcome"] = runs["outcome"].where(~short, np.uint8(Outcome.PENDING))
    return runs


def _asked(tree: xr.DataTree, sweep: Sweep, N: int, runs: xr.Dataset) -> xr.DataArray:
    """Which instances were asked for at each alpha; a reduced sweep has no other, and is complete."""
    if is_reduced(tree):
        return (runs["outcome"] != Outcome.PENDING).any("start")
    return asked_instances(sweep, N, runs)


def success_at(
    tree: xr.DataTree, sweep: Sweep, group: StartGroup, sizes: Sequence[int], budget: float, level: float
) -> xr.Dataset:
    """Success of one kind of start within one time budget, dims (N, alpha).

    Raises
    ------
    QueryError
        If a size is not stored, or a sweep reduced without recovery times does not hold this budget or level.
    """
    if _without_times(tree):
        return _kept_success(tree, group, sizes, budget, level)
    tables = {}
    for N in sizes:
        runs = _reaching(tree, sweep, group, N, budget)
        table = success_table(
            runs["outcome"],
            runs["recovery_time"],
            sweep.t_max,
            budgets=[budget],
            stop_time=runs.get("end_time"),
            asked=_asked(tree, sweep, N, runs),
            level=level,
        )
        tables[N] = table.isel(budget=0)
    return join_sizes(tables)


def counts_at(
    tree: xr.DataTree, sweep: Sweep, group: StartGroup, sizes: Sequence[int], budget: float
) -> pd.DataFrame:
    """Recoveries and runs of every instance within one time budget.

    Raises
    ------
    QueryError
        If a size is not stored, or a sweep reduced without recovery times is asked for another budget than
        ``t_max``.
    """
    if not _without_times(tree):
        runs = [_reaching(tree, sweep, group, N, budget) for N in sizes]
        return pd.concat(
            [counts_at_budget(at["outcome"], at["recovery_time"], budget) for at in runs], ignore_index=True
        )
    if budget < sweep.t_max:
        raise QueryError(
            f"T = {budget:g} needs recovery times, and sweep {tree.name!r} was reduced by an earlier version "
            f"to counts at t_max = {sweep.t_max:g}; ask at t_max, or reduce the sweep again"
        )
    table = _at_sizes(tree["counts"].to_dataset(), sizes).isel(start_group=group.position)
    return counts_from_xarray(table[["recovered", "runs"]].load())


def limit_at(tree: xr.DataTree, sweep: Sweep, group: StartGroup, sizes: Sequence[int]) -> xr.Dataset:
    """alpha_50 of one kind of start for unlimited time, dim N.

    Raises
    ------
    QueryError
        If a size is not stored, or the sweep was reduced without recovery times.
    """
    if _without_times(tree):
        raise QueryError(
            f"unlimited time needs recovery times, and sweep {tree.name!r} was reduced by an earlier version "
            "without them; reduce the sweep again"
        )
    found = [_runs(tree, sweep, group, N, ("outcome", "recovery_time", "end_time")) for N in sizes]
    runs = [RecoveryTimes.of(at["outcome"], at["recovery_time"], at["end_time"]) for at in found]
    table = time_limit_dataset(runs, [], steered=sweep.precise_sizes()).isel(budget=0)
    names = {str(name): str(name).removeprefix("budget_") for name in table.data_vars}
    return table.rename(names | {"budget_note": "message"})


def windows_at(tree: xr.DataTree, sweep: Sweep, group: StartGroup, sizes: Sequence[int]) -> pd.DataFrame:
    """Quartiles of t_BBP of one kind of start.

    The columns are those of :func:`~phasepipe.figures.hessian_tables.window_lengths_table`.

    Raises
    ------
    QueryError
        If a size is not stored.
    """
    if is_reduced(tree):
        table = _at_sizes(tree["window"].to_dataset(), sizes).isel(start_group=group.position, drop=True)
        columns = {f"t_bbp_{name}": name for name in ("lower", "median", "upper")}
        cells = table.sel(fate="all")[[*columns, "never", "lasting", "runs"]].to_dataframe().reset_index()
        return cells[cells["runs"] > 0].rename(columns=columns)[list(_WINDOWS)].astype({"runs": int})
    tables = {}
    for N in sizes:
        runs = _of_group(tree, sweep, group, N, ("t_bbp", "outcome"))
        computed = runs["outcome"] != Outcome.PENDING
        ends = runs["t_bbp"].where(computed).transpose("alpha", ...).values
        tables[N] = xr.Dataset(
            {
                "t_bbp": (("alpha", "run"), ends.reshape(len(ends), -1)),
                "runs": computed.sum(("instance", "start")),
            }
        )
    return window_lengths_table(join_sizes(tables))


def _without_times(tree: xr.DataTree) -> bool:
    """Whether the tree is a sweep reduced by a version that kept no recovery times."""
    return is_reduced(tree) and "recovery" not in tree.children


def _kept_success(
    tree: xr.DataTree, group: StartGroup, sizes: Sequence[int], budget: float, level: float
) -> xr.Dataset:
    """Success as the table of a reduced sweep has it."""
    if "success" not in tree.children:
        raise QueryError(
            f"sweep {tree.name!r} was reduced without its table of success; reduce the whole sweep again"
        )
    table = _at_sizes(tree["success"].to_dataset(), sizes).isel(start_group=group.position, drop=True)
    budgets = table["budget"].values
    position = np.flatnonzero(np.isclose(budgets, budget, rtol=1e-6))
    if not position.size:
        raise QueryError(
            f"T = {budget:g} needs recovery times, and sweep {tree.name!r} was reduced by an earlier version "
            f"to the time budgets {listed(budgets.tolist())}; ask for one of them, or reduce the sweep again"
        )
    if level != table.attrs["level"]:
        raise QueryError(
            f"level = {level:g} needs recovery times, and sweep {tree.name!r} was reduced by an earlier "
            f"version to intervals of level {table.attrs['level']:g}; reduce the sweep again"
        )
    return table.isel(budget=int(position[0])).load()


def _at_sizes(table: xr.Dataset, sizes: Sequence[int]) -> xr.Dataset:
    """The rows of these N without alphas that none of them has."""
    for N in sizes:
        require_size(table["N"].values.tolist(), N)
    chosen = table.sel(N=list(sizes))
    count = chosen["n"] if "n" in chosen else chosen["runs"]
    return chosen.isel(alpha=np.flatnonzero((count > 0).any([dim for dim in count.dims if dim != "alpha"])))
