"""Rounds of a sweep with the key ``precision`` as text: why there is another, how they ended, and a table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from phasepipe.analysis.steering import Ended, Goal, Step, half_width
from phasepipe.analysis.text import enumerated, number, with_stored_interval


def reason_for_round(step: Step, goal: Goal) -> str:
    """Where alpha_50 is not known well enough."""
    _, missing = _divided({fit.N: half_width(fit) for fit in step.fits}, goal.half_width)
    return f"±{goal.half_width:g} is wanted, and alpha_50 is known {_errors(missing)}"


def conclusion(step: Step, goal: Goal, spent: float, rounds: int) -> str:
    """Whether alpha_50 is known as well as wanted, where it is not, and what it cost."""
    reached, missing = _divided({fit.N: half_width(fit) for fit in step.fits}, goal.half_width)
    cost = (
        f"after {rounds} round{'s' if rounds > 1 else ''} of {hours(spent)}" if rounds else "without a round"
    )
    known = (
        f"alpha_50 is known to ±{goal.half_width:g} at N = {enumerated(map(str, reached))}" if reached else ""
    )
    if step.ended is Ended.REACHED:
        return f"{known}, {cost}"
    why = (
        f"the budget of {hours(goal.core_seconds)} is spent"
        if step.ended is Ended.BUDGET_SPENT
        else "half of the runs recover at every alpha that could be added"
    )
    return f"{why}, {cost}: {f'{known}, but ' if known else 'alpha_50 is known '}{_errors(missing)}"


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


def _divided(half_widths: Mapping[int, float], wanted: float) -> tuple[list[int], dict[int, float]]:
    """Sizes whose alpha_50 is known as wanted, and half-widths of the others."""
    reached = [N for N, half in half_widths.items() if half <= wanted]
    return reached, {N: half for N, half in half_widths.items() if half > wanted}


def _errors(missing: Mapping[int, float]) -> str:
    known = [f"to ±{half:.2g} at N = {N}" for N, half in missing.items() if np.isfinite(half)]
    unknown = [str(N) for N, half in missing.items() if not np.isfinite(half)]
    return enumerated(known + ([f"not at all at N = {enumerated(unknown)}"] if unknown else []))
