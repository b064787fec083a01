"""Selects what a user names in the grid of a sweep; error messages list what the sweep contains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import xarray as xr

from phasepipe.errors import UserError, shown
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.problem import measurement_count
from phasepipe.specification.start_groups import StartGroup, start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.layout import Status


class QueryError(UserError, LookupError):
    """The sweep does not contain what was requested; the message says what it contains."""


def listed(values: Sequence[object]) -> str:
    """Values as text, without the middle of a long list."""
    shown = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]])


def asked_number(name: str, value: object, example: float) -> float:
    """A number that a query names; a coordinate without dimensions is one.

    Raises
    ------
    QueryError
        If it is none.
    """
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise QueryError(f"{name} = {shown(value)} is no number; take for example {name} = {example:g}")
    try:
        number = float(value)
    except OverflowError:
        raise QueryError(
            f"{name} = {shown(value)} is too large; take for example {name} = {example:g}"
        ) from None
    return value if isinstance(value, int) else number  # messages show an integer as one


def asked_integer(name: str, value: object, example: int) -> int:
    """An integer that a query names; errors as above."""
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise QueryError(f"{name} = {shown(value)} is no integer; take for example {name} = {example}")
    number = int(value)
    if abs(number) >= 2**63:
        raise QueryError(f"{name} = {shown(value)} is too large; take for example {name} = {example}")
    return number


def asked_sizes(N: object) -> list[int]:
    """One or more dimensions that a query names; errors as above."""
    several = isinstance(N, Iterable) and not isinstance(N, str | bytes) and getattr(N, "ndim", True)
    sizes: Iterable[object] = N if several else [N]  # type: ignore[assignment]
    found = [asked_integer("N", size, 64) for size in sizes]
    if not found:
        raise QueryError("N is empty; name at least one")
    return found


def asked_times(name: str, times: object) -> list[float]:
    """Times that a query names; errors as above."""
    if isinstance(times, str | bytes) or not isinstance(times, Iterable) or getattr(times, "ndim", 1) == 0:
        raise QueryError(f"{name} = {shown(times)} is no list of times; take for example {name} = [0, 1]")
    return [asked_number(name, time, 1) for time in times]


def _plain(value: Any) -> Any:
    return value.item() if getattr(value, "ndim", None) == 0 else value


def is_reduced(tree: xr.DataTree) -> bool:
    """Whether the tree holds tables of ``phasepipe reduce`` in place of runs."""
    return "counts" in tree.children and "runs" not in tree.children


def stored_sizes(tree: xr.DataTree) -> list[int]:
    """All N with stored runs, ascending.

    Raises
    ------
    QueryError
        If there are none.
    """
    sizes = sorted(int(name[1:]) for name in tree["runs"].children) if "runs" in tree.children else []
    if not sizes and is_reduced(tree):
        raise QueryError(
            f"sweep {tree.name!r} is reduced and holds no single runs; open the folder that it was reduced "
            "from, or run the sweep again"
        )
    if not sizes:
        raise QueryError(f"sweep {tree.name!r} has no runs yet; run it first with phasepipe run")
    return sizes


def size_of_node(tree: xr.DataTree) -> int | None:
    """N of a node such as ``tree["runs/N64"]`` or ``tree["spectra/N64"]``; None for any other node."""
    name = str(tree.name)
    of_one_size = tree.parent is not None and tree.parent.name in ("runs", "spectra")
    return int(name[1:]) if of_one_size else None


def require_size(sizes: Sequence[int], N: int) -> None:
    """Raise a QueryError if ``N`` is not one of the stored ``sizes``."""
    if asked_integer("N", N, 64) not in sizes:
        nearest = min(sizes, key=lambda size: abs(size - N))
        raise QueryError(f"N = {N} is not in the sweep; the nearest is N = {nearest} (of {listed(sizes)})")


def runs_at(tree: xr.DataTree, N: int) -> xr.Dataset:
    """The stored runs at ``N``, loaded lazily.

    Raises
    ------
    QueryError
        If ``N`` has no stored runs.
    """
    require_size(stored_sizes(tree), N)
    return tree[f"runs/N{N}"].to_dataset()


def at_alpha(runs: xr.Dataset, alpha: float) -> xr.Dataset:
    """The runs whose number of measurements is round(alpha N).

    Raises
    ------
    QueryError
        If ``alpha`` is not in the grid at this N.
    """
    N, alphas = int(runs["N"]), runs["alpha"].values
    alpha = asked_number("alpha", alpha, 3)
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
    """Positions along the start axis, as a coordinate."""
    return xr.DataArray(np.arange(runs.sizes["start"]), dims="start", attrs=ATTRIBUTES["start"])


def at_run(runs: xr.Dataset, alpha: float, instance: int, start: int) -> xr.Dataset:
    """All starts of one instance, checking that ``start`` exists and is computed.

    Raises
    ------
    QueryError
        If alpha, instance or start is not in the sweep, or the run is not computed yet.
    """
    cell = at_alpha(runs, alpha)
    instance, start = asked_integer("instance", instance, 0), asked_integer("start", start, 0)
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


def at_snapshots(tree: xr.DataTree, N: int, alpha: float, instance: int, start: int) -> xr.Dataset:
    """The stored spectra of one run, loaded lazily.

    Raises
    ------
    QueryError
        If the sweep has no spectra at ``N``, or none of this run.
    """
    sizes = sorted(int(name[1:]) for name in tree["spectra"].children) if "spectra" in tree.children else []
    if not sizes:
        cure = (
            "open the folder that it was reduced from"
            if is_reduced(tree)
            else "give it the key snapshots, for example {instances: 4, starts: 1, per_decade: 2}, and run it"
        )
        raise QueryError(f"sweep {tree.name!r} holds no spectra; {cure}")
    require_size(sizes, N)
    cell = at_alpha(tree[f"spectra/N{N}"].to_dataset(), alpha)
    instance, start = asked_integer("instance", instance, 0), asked_integer("start", start, 0)
    if instance not in cell["instance"].values or not 0 <= start < cell.sizes["start"]:
        raise QueryError(
            f"the run of instance {instance}, start {start} has no snapshots; the sweep stores them for "
            f"instances 0 to {int(cell['instance'].max())} and starts 0 to {cell.sizes['start'] - 1}"
        )
    run = cell.sel(instance=instance).isel(start=start).assign_coords(start=start)
    if int(run["status"]) != Status.DONE:
        raise QueryError(f"the spectra of instance {instance} are not computed yet; run the workflow again")
    return run


def near_time(run: xr.Dataset, t: float) -> int:
    """Position of the snapshot at time ``t``, which may be rounded to four digits.

    Raises
    ------
    QueryError
        If there is no snapshot at this time.
    """
    times, t = run["time"].values, asked_number("t", t, 1)
    found = np.flatnonzero(np.isclose(times, t, rtol=1e-3, atol=0))
    if not found.size:
        nearest = times[np.argmin(abs(times - t))]
        shown = listed([float(f"{time:.4g}") for time in times])
        raise QueryError(f"t = {t:g} is not a snapshot; the nearest is t = {nearest:.4g} (of {shown})")
    return int(found[0])


def group_named(sweep: Sweep, name: str | None) -> StartGroup:
    """The group of starts with this name, or whose name begins with it; None selects the first group.

    Raises
    ------
    QueryError
        If no group or several groups match.
    """
    groups = start_groups(sweep)
    if name is None:
        return groups[0]
    exact = [group for group in groups if group.name == name]
    found = exact or [group for group in groups if group.name.startswith(str(name))]
    if len(found) == 1:
        return found[0]
    names = ", ".join(repr(group.name) for group in groups)
    problem = "matches several kinds of start" if found else "matches no kind of start of the sweep"
    raise QueryError(f"start = {shown(name)} {problem}; choose one of {names}")


def outcome_named(name: str) -> Outcome:
    """The outcome with this name, in lower case.

    Raises
    ------
    QueryError
        If there is no such outcome.
    """
    known = {outcome.name.lower(): outcome for outcome in Outcome}
    if not isinstance(name, str) or name not in known:
        raise QueryError(f"outcome = {shown(name)} is unknown; choose one of {', '.join(known)}")
    return known[name]
