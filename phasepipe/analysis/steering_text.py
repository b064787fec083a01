"""Why a sweep with the key ``precision`` gets another round, and how its rounds ended, as text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from phasepipe.analysis.rounds_text import hours
from phasepipe.analysis.steering import Ended, Goal, Step, half_width
from phasepipe.analysis.text import enumerated


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


def _divided(half_widths: Mapping[int, float], wanted: float) -> tuple[list[int], dict[int, float]]:
    """Sizes whose alpha_50 is known as wanted, and half-widths of the others."""
    reached = [N for N, half in half_widths.items() if half <= wanted]
    return reached, {N: half for N, half in half_widths.items() if half > wanted}


def _errors(missing: Mapping[int, float]) -> str:
    known = [f"to ±{half:.2g} at N = {N}" for N, half in missing.items() if np.isfinite(half)]
    unknown = [str(N) for N, half in missing.items() if not np.isfinite(half)]
    return enumerated(known + ([f"not at all at N = {enumerated(unknown)}"] if unknown else []))
