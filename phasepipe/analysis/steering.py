"""Grow a sweep in rounds until alpha_50 of every size is known as well as wanted: what the next round adds.

The design is Stein's (Ann. Math. Stat. 16 (1945) 243) in several stages: each round is sized in advance from
the error so far, never by looking while it runs. A round multiplies the information on alpha_50 by at most
GROWTH, so that its alphas follow what the former ones have taught, and it aims at a share AIM of the wanted
half-width. Most sequences then end at a round whose size was fixed before its data, which is what keeps the
interval honest: stopping as soon as an interval happens to be short enough favours those that are too short
(measured in docs/evidence/scaling-coverage.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from phasepipe.analysis.counts import Cells
from phasepipe.analysis.curves import CurveFit, fit_curve
from phasepipe.analysis.refinement import Cost, exhausted, refine_fits


@dataclass(frozen=True)
class Sizing:
    """How large a round is; the coverage of other choices is in docs/evidence/scaling-coverage.md."""

    growth: float = 4.0
    aim: float = 0.9


@dataclass(frozen=True)
class Goal:
    """Half-width of the 95 % interval of alpha_50 that is wanted at every one of ``sizes``."""

    half_width: float
    sizes: tuple[int, ...]
    core_seconds: float  # that all rounds together may cost


class Ended(StrEnum):
    """Why nothing more is added."""

    REACHED = "reached"
    BUDGET_SPENT = "budget spent"
    NO_CANDIDATE = "no candidate"  # P is above 1/2 at every alpha that exists


@dataclass(frozen=True)
class Step:
    """State of a sweep after a round, and what the next one adds: nothing once the rounds have ended."""

    fits: list[CurveFit]  # of the sizes of the goal, ascending
    additions: pd.DataFrame  # as Refinement.proposal
    ended: Ended | None


def half_width(fit: CurveFit) -> float:
    """Half of the length of the interval of alpha_50; infinite if it is not bounded."""
    return (fit.alpha_50_upper - fit.alpha_50_lower) / 2 if np.isfinite(fit.alpha_50) else np.inf


def next_step(
    sizes: Sequence[Cells],
    cost_per_run: Cost,
    goal: Goal,
    spent: float,
    *,
    starts: int | None = None,
    sizing: Sizing = Sizing(),
) -> Step:
    """What to add to a sweep with these cells, after rounds that cost ``spent`` core-seconds.

    Parameters
    ----------
    sizes
        Cells of the sweep, at least those of the sizes of the goal.
    cost_per_run
        Core-seconds of one run at (N, alpha).
    goal
        What is wanted.
    spent
        Core-seconds of all former rounds.
    starts
        Runs per new instance; by default the median of the sweep at that N.
    sizing
        Size of the round.
    """
    fits = [fit_curve(cells, steered=True) for cells in sizes if cells.N in goal.sizes]
    missing = {fit.N: _next_error(fit, goal, sizing) for fit in fits if half_width(fit) > goal.half_width}
    nothing, left = pd.DataFrame(), goal.core_seconds - spent
    if not missing:
        return Step(fits, nothing, Ended.REACHED)
    if all(fit.N not in missing or exhausted(fit) for fit in fits):
        return Step(fits, nothing, Ended.NO_CANDIDATE)
    if left > 0:
        additions = refine_fits(fits, cost_per_run, left, starts=starts, goals=missing).proposal
        if len(additions):
            return Step(fits, additions, None)
    return Step(fits, nothing, Ended.BUDGET_SPENT)


def _next_error(fit: CurveFit, goal: Goal, sizing: Sizing) -> float:
    """Standard error of alpha_50 at which the next round aims; 0 for a size that is to be bracketed."""
    if not np.isfinite(fit.alpha_50):
        return 0.0
    wanted = fit.alpha_50_error * goal.half_width / half_width(fit)
    return float(max(sizing.aim * wanted, fit.alpha_50_error / np.sqrt(sizing.growth)))
