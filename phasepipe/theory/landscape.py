"""Energies and alphas at which critical points exist, are most numerous, become unstable, and disappear.

See docs/explanation/landscape.md.

The traps of gradient descent are marginal minima. At a given alpha they span a range of energies, from zero
complexity to the largest complexity. Therefore traps become unstable towards the signal in a band of alpha,
not at a single value.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

from phasepipe.physics.losses import Loss
from phasepipe.theory.complexity import CriticalPoints, Kind, problem_of, solution_near
from phasepipe.theory.kac_rice import Point, Problem, evaluate, moved
from phasepipe.theory.newton import coarse_solution
from phasepipe.theory.quadrature import ConvergenceError
from phasepipe.theory.starting_points import best_start
from phasepipe.theory.tilted import Labels

_FIRST_STEP = 0.15  # initial step in the slope of Sigma, in units of 1 / energy
_GROWTH = 1.4
_SMALLEST_STEP = 1e-3  # smallest step, in the same units
_STEPS = 60
_ALPHA_STEP = 1.06  # ratio of consecutive alphas when stable minima are followed
_ALPHAS = (4.0, 8.0, 2.5, 14.0, 1.5)  # alphas at which critical points are searched first


@dataclass(frozen=True)
class EnergyRange:
    """Range of energies at which critical points of a kind exist, that is, have positive complexity."""

    lowest: CriticalPoints  # Sigma = 0
    most_numerous: CriticalPoints
    highest: CriticalPoints | None  # Sigma = 0; None if not found: for saddles Sigma falls slowly with energy


@dataclass(frozen=True)
class MarginalMinima:
    """Range of the traps: marginal minima of the lowest energy, and the most numerous ones."""

    lowest: CriticalPoints  # Sigma = 0
    most_numerous: CriticalPoints


@dataclass(frozen=True)
class ThresholdBand:
    """Band of alpha in which marginal minima become unstable towards the signal.

    The most numerous minima become unstable first, at ``alpha_most_numerous``; above ``alpha_lowest`` all
    existing ones are unstable.
    """

    lowest: CriticalPoints  # Sigma = 0
    most_numerous: CriticalPoints

    @property
    def alpha_lowest(self) -> float:
        """Measurements per dimension at which the minima of complexity 0 become unstable."""
        return self.lowest.alpha

    @property
    def alpha_most_numerous(self) -> float:
        """Measurements per dimension at which the most numerous minima become unstable."""
        return self.most_numerous.alpha


def marginal_minima(loss: Loss, alpha: float, *, labels: Labels = "typical") -> MarginalMinima:
    """Marginal minima at overlap 0: those of complexity 0 and the most numerous.

    Parameters
    ----------
    loss
        Any loss that is even in both arguments.
    alpha
        Measurements per dimension.
    labels
        As for :func:`phasepipe.theory.complexity.complexity`.

    Raises
    ------
    ValueError
        If no marginal minima exist at this alpha: even the most numerous have a negative complexity.
    ConvergenceError
        If they are not found to 1e-6.
    """
    problem, start, top = _top(loss, alpha, "marginal", labels)
    return MarginalMinima(_end(problem, start, "marginal", 1.0), top)


def energy_range(
    loss: Loss, alpha: float, *, kind: Kind = "minima", labels: Labels = "typical"
) -> EnergyRange:
    """Range of energies at overlap 0 at which critical points of a kind exist, and the most numerous ones.

    Parameters and exceptions are those of :func:`marginal_minima`.
    """
    problem, start, top = _top(loss, alpha, kind, labels)
    highest = None
    with nullcontext() if kind != "critical" else suppress(ConvergenceError):
        highest = _end(problem, start, kind, -1.0)
    return EnergyRange(_end(problem, start, kind, 1.0), top, highest)


def threshold_band(loss: Loss, *, labels: Labels = "typical") -> ThresholdBand:
    """Alphas at which marginal minima become unstable towards the signal: lowest and most numerous ones.

    Parameters
    ----------
    loss
        Any loss that is even in both arguments.
    labels
        As for :func:`phasepipe.theory.complexity.complexity`.

    Raises
    ------
    ConvergenceError
        If there are no such alphas, or they are not found to a relative 1e-6.
    """
    problem, start = _responding(loss, labels)
    top = solution_near(problem, start, "marginal")
    return ThresholdBand(_end(problem, start, "marginal", 1.0), top)


def trivialisation(loss: Loss, *, labels: Labels = "typical") -> CriticalPoints:
    """The last stable minima at overlap 0; at larger alpha there are none.

    Above ``alpha_most_numerous`` of the threshold band the most numerous minima have a negative direction
    towards the signal. Here its curvature is constrained to 0, which reduces the complexity. Without this
    constraint the number of minima decreases with alpha but does not vanish.

    Raises
    ------
    ConvergenceError
        If there is no such alpha, or it is not found to a relative 1e-6.
    """
    problem, point = _responding(loss, labels)
    stable = replace(problem, conditions=(), released=()).holding()
    for _ in range(_STEPS):
        point = coarse_solution(stable, moved(point, alpha=_ALPHA_STEP * point.alpha))
        if evaluate(stable, point).complexity < 0:
            break
    last = replace(stable, conditions=("complexity",), released=("alpha",))
    return solution_near(last, point, "stable")


def complexity_line(
    loss: Loss, alpha: float, slopes: tuple[float, ...], *, kind: Kind = "minima", overlap: float = 0.0
) -> tuple[CriticalPoints, ...]:
    """Critical points along the curve ``Sigma(e)``, for figures, parametrised by its slope ``dSigma/de``.

    Parameters
    ----------
    loss, alpha, kind, overlap
        As for :func:`phasepipe.theory.complexity.complexity`.
    slopes
        Slopes in units of 1 / loss, in monotonic order with small differences; 0 is the maximum.

    Returns
    -------
    One entry per slope; the list is shorter if the solution ends.
    """
    problem = problem_of(loss, alpha, energy=None, overlap=overlap, kind=kind, labels="typical")
    point = best_start(problem, float(alpha))
    line = []
    for slope in slopes:
        try:
            point = _at_slope(problem, point, slope)
            line.append(solution_near(problem, point, kind))
        except ConvergenceError:
            break
    return tuple(line)


def _top(loss: Loss, alpha: float, kind: Kind, labels: Labels) -> tuple[Problem, Point, CriticalPoints]:
    """The most numerous critical points at overlap 0, with the equations that they solve."""
    problem = problem_of(loss, alpha, energy=None, overlap=0.0, kind=kind, labels=labels)
    start = best_start(problem, float(alpha))
    top = solution_near(problem, start, kind)
    if not top.complexity > 0:
        raise ValueError(
            f"no {kind} points of {loss!r} exist at alpha = {alpha:.6g} and overlap 0: the complexity of the "
            f"most numerous is {top.complexity:.4g}; take a smaller alpha"
        )
    return problem, start, top


def _responding(loss: Loss, labels: Labels) -> tuple[Problem, Point]:
    """The most numerous marginal minima at the alpha at which they become unstable towards the signal."""
    for alpha in _ALPHAS:
        plain = problem_of(loss, alpha, energy=None, overlap=0.0, kind="marginal", labels=labels)
        problem = replace(plain, conditions=("response",), released=("alpha",))
        try:
            return problem, coarse_solution(problem, best_start(plain, alpha))
        except ConvergenceError:
            continue
    raise ConvergenceError(
        f"the marginal minima of {loss!r} were not seen to turn unstable towards the signal"
    )


def _end(problem: Problem, start: Point, kind: Kind, sign: float) -> CriticalPoints:
    """Point of zero complexity, on the side of low energies (sign 1) or of high energies (-1)."""
    ending = replace(
        problem,
        conditions=(*problem.conditions, "complexity"),
        released=(*problem.released, "energy"),
    )
    here = start
    unit = 1 / evaluate(problem, start).energy
    step = _FIRST_STEP
    for _ in range(_STEPS):
        try:
            there = coarse_solution(problem, moved(here, energy=here.multipliers.energy + sign * step * unit))
        except ConvergenceError:
            step *= 0.5
            if step < _SMALLEST_STEP:
                break
            continue
        here, step = there, _GROWTH * step
        if evaluate(problem, here).complexity < 0:
            return solution_near(ending, here, kind)
    raise ConvergenceError(
        f"the energy at which the complexity of {kind} points of {problem.loss!r} vanishes was not found "
        f"near alpha = {start.alpha:.6g}"
    )


def _at_slope(problem: Problem, start: Point, slope: float) -> Point:
    """Coarse solution at another slope of the complexity, with adaptive steps."""
    here, point = start.multipliers.energy, start
    step = slope - here
    shortest = 1e-3 * abs(step)
    while here != slope:
        there = slope if abs(slope - here) <= abs(step) else here + step
        try:
            point = coarse_solution(problem, moved(point, energy=there))
        except ConvergenceError:
            step *= 0.5
            if abs(step) < shortest:
                raise
        else:
            here = there
    return point
