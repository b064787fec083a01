"""Phase diagram of the normalised quartic family: both transitions against its regulariser ``a``."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.optimize import brentq

from phasepipe.physics.losses import NormalisedQuartic
from phasepipe.theory.initial import initial_response, initial_transition
from phasepipe.theory.population import Branch
from phasepipe.theory.threshold import alpha_threshold


@dataclass(frozen=True)
class PhasePoint:
    """The two transitions at one ``a``."""

    a: float
    alpha_init: float  # measurements per dimension
    branch: Branch  # of alpha_init
    alpha_threshold: float  # measurements per dimension


def phase_point(a: float) -> PhasePoint:
    """Both transitions of the normalised quartic loss at one ``a`` (PHYSICS §6, §7); about a second.

    Raises
    ------
    ValueError
        If ``a`` is not a positive finite number.
    ConvergenceError
        If a transition is not found to a relative 1e-6.
    """
    loss = NormalisedQuartic(a)
    initial = initial_transition(loss)
    return PhasePoint(a, initial.alpha, initial.branch, alpha_threshold(loss))


def branch_change() -> float:
    """Value ``a_c`` above which the transition at a random start is discontinuous (PHYSICS §6)."""

    def excess(a: float) -> float:
        averages = initial_response(NormalisedQuartic(a))(-1.0)
        return averages.square - averages.signal

    return float(brentq(excess, 0.5, 2.0, xtol=1e-9))
