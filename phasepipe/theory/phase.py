"""Phase diagram of the normalised quartic family: its transitions against the regulariser ``a``."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.optimize import brentq

from phasepipe.physics.losses import NormalisedQuartic
from phasepipe.theory.initial import initial_response, initial_transition
from phasepipe.theory.landscape import threshold_band, trivialisation
from phasepipe.theory.population import Branch
from phasepipe.theory.threshold import alpha_threshold


@dataclass(frozen=True)
class PhasePoint:
    """The transitions at one ``a``, in measurements per dimension."""

    a: float
    alpha_init: float
    branch: Branch  # of alpha_init
    alpha_threshold: float  # one-step-RSB marginal states, the literature's definition
    alpha_most_numerous: float  # the most numerous marginal minima become unstable towards the signal
    alpha_lowest: float  # so do those of lowest energy
    alpha_trivialisation: float  # no stable minimum of overlap 0 exists beyond


def phase_point(a: float) -> PhasePoint:
    """Transitions of the normalised quartic loss at one ``a``; about two seconds.

    See docs/explanation/physics.md §6 and §7.

    Raises
    ------
    ValueError
        If ``a`` is not a positive finite number.
    ConvergenceError
        If a transition is not found to a relative 1e-6.
    """
    loss = NormalisedQuartic(a)
    initial = initial_transition(loss)
    band = threshold_band(loss)
    return PhasePoint(
        a,
        initial.alpha,
        initial.branch,
        alpha_threshold(loss),
        band.alpha_most_numerous,
        band.alpha_lowest,
        trivialisation(loss).alpha,
    )


def branch_change() -> float:
    """Value ``a_c`` above which the transition at a random start is discontinuous.

    See docs/explanation/physics.md §6.
    """

    def excess(a: float) -> float:
        averages = initial_response(NormalisedQuartic(a))(-1.0)
        return averages.square - averages.signal

    return float(brentq(excess, 0.5, 2.0, xtol=1e-9))
