"""Stored rounds of a sweep with the key ``precision`` as text: what the last is about, and a table of all."""

from __future__ import annotations

import numpy as np
import xarray as xr

from phasepipe.analysis.text import number, with_stored_interval


def hours(core_seconds: float) -> str:
    """A cost in core-hours."""
    return f"{core_seconds / 3600:.3g} core-hours"


def progress(table: xr.Dataset) -> str:
    """Stored rounds in one sentence: how they ended, or what the last one is about."""
    ended, last = str(table["conclusion"].item()), int(table["round"][-1])
    if ended:
        return ended
    spent, budget = float(table["core_seconds"].sum()), float(table["budget_seconds"])
    return f"round {last} ({table['why'].values[-1]}); {hours(spent)} of {hours(budget)}"


def round_rows(table: xr.Dataset) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of the rounds: what was added, and alpha_50 of every N afterwards."""
    sizes = table["N"].values.tolist()
    rows = []
    for number_of_round in table["round"].values.tolist():
        at = table.sel(round=number_of_round)
        mine = table.isel(addition=np.flatnonzero(table["added_round"].values == number_of_round))
        rows.append(
            [
                str(number_of_round),
                *(with_stored_interval(at.sel(N=N), "alpha_50") for N in sizes),
                *(_added(mine, N) for N in sizes),
                number(float(at["core_seconds"]), 0),
            ]
        )
    header = [
        "round",
        *(f"alpha_50 at N = {N}" for N in sizes),
        *(f"instances added at N = {N}" for N in sizes),
        "core-seconds",
    ]
    return header, rows


def _added(additions: xr.Dataset, N: int) -> str:
    """Number of instances, of alphas, and the range of these."""
    here = additions.isel(addition=np.flatnonzero(additions["added_N"].values == N))
    if not here.sizes["addition"]:
        return "0"
    alpha = here["added_measurements"].values / N
    total = int(here["added_instances"].sum())
    return f"{total} at {len(alpha)} alphas, {alpha.min():.4g} to {alpha.max():.4g}"
