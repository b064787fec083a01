"""Finds what a user names in the grid of a sweep, and says what there is where it is not there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from phasepipe.errors import UserError
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.problem import measurement_count
from phasepipe.specification.start_groups import StartGroup, start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.layout import Status


class QueryError(UserError, LookupError):
    """The sweep does not hold what was asked for; the message says what it holds."""


def listed(values: Sequence[object]) -> str:
    """Some values for people, the middle of a long list left out."""
    shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])


def stored_sizes(tree: xr.DataTree) -> list[int]:
    """All N that have runs, ascending."""
    sizes = sorted(int(name[1:]) for name in tree["runs"].children) if "runs" in tree.children else []
    if not sizes:
        raise QueryError(f"sweep {tree.name!r} has no runs yet; run it first with snakemake")
    return sizes


def require_size(tree: xr.DataTree, N: int) -> None:
    """Refuse an ``N`` that has no runs."""
    sizes = stored_sizes(tree)
    if N not in sizes:
        nearest = min(sizes, key=lambda size: abs(size - N))
        raise QueryError(f"N = {N} is not in the sweep; the nearest is N = {nearest} (of {listed(sizes)})")


def runs_at(tree: xr.DataTree, N: int) -> xr.Dataset:
    """The runs at ``N`` as stored, lazily."""
    require_size(tree, N)
    return tree[f"runs/N{N}"].to_dataset()


def at_alpha(runs: xr.Dataset, alpha: float) -> xr.Dataset:
    """The cell whose number of measurements is that of ``alpha``."""
    N, alphas = int(runs["N"]), runs["alpha"].values
    try:
        row = np.flatnonzero(runs["measurements"].values == measurement_count(N, alpha))
    except ValueError as error:
        raise QueryError(str(error)) from error
    if len(row) == 0:
        nearest = float(alphas[np.argmin(abs(alphas - alpha))])
        raise QueryError(
            f"alpha = {alpha:g} is not in the grid at N = {N}; the nearest is alpha = {nearest:.10g} "
            f"(of {listed(alphas.tolist())})"
        )
    return runs.isel(alpha=int(row[0]))


def start_positions(runs: xr.Dataset) -> xr.DataArray:
    """The start axis as numbers."""
    return xr.DataArray(np.arange(runs.sizes["start"]), dims="start", attrs=ATTRIBUTES["start"])


def at_run(runs: xr.Dataset, alpha: float, instance: int, start: int) -> xr.Dataset:
    """All starts of one instance, after making sure that ``start`` is there and computed."""
    cell = at_alpha(runs, alpha)
    if instance not in cell["instance"].values:
        last = int(cell["instance"].max())
        raise QueryError(
            f"instance = {instance} is not in the sweep; instances are numbered from 0 to {last}"
        )
    if not 0 <= start < cell.sizes["start"]:
        raise QueryError(
            f"start = {start} is not in the sweep; starts are numbered from 0 to {cell.sizes['start'] - 1}"
        )
    starts = cell.sel(instance=instance).assign_coords(start=start_positions(cell))
    if int(starts["status"][start]) != Status.DONE:
        raise QueryError(
            f"the run N = {int(cell['N'])}, alpha = {float(cell['alpha']):g}, instance {instance}, "
            f"start {start} is not computed yet; run the workflow again"
        )
    return starts


def group_named(sweep: Sweep, name: str | None) -> StartGroup:
    """The group of starts that ``name`` means: its name, or the beginning of one; None is the first."""
    groups = start_groups(sweep)
    if name is None:
        return groups[0]
    exact = [group for group in groups if group.name == name]
    found = exact or [group for group in groups if group.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(repr(group.name) for group in groups)
    what = "names several kinds of start" if found else "is no start of the sweep"
    raise QueryError(f"start = {name!r} {what}; take one of {names}")


def outcome_named(name: str) -> Outcome:
    """The outcome called ``name``."""
    known = {outcome.name.lower(): outcome for outcome in Outcome}
    if name not in known:
        raise QueryError(f"outcome = {name!r} is unknown; take one of {', '.join(known)}")
    return known[name]
