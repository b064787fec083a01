"""Starting points of Newton's method for the Kac-Rice complexity.

In units of the stiffness of the loss the multipliers of marginal minima hardly depend on loss and alpha, so
that a few guesses suffice. Other solutions are reached by continuation in alpha, overlap or energy. For
critical points of any index the equations can have several solutions (a first-order transition, known in the
literature); the guesses cover both, and the solution with the larger complexity is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from phasepipe.physics.losses import Loss
from phasepipe.theory.kac_rice import Point, Problem, evaluate, moved
from phasepipe.theory.newton import coarse_solution
from phasepipe.theory.quadrature import ConvergenceError
from phasepipe.theory.tilted import Multipliers

_SMALLEST_STEP = 2e-3  # smallest step of a continuation, relative to its length
_RATIOS = (1.5, 2.0, 3.0, 0.75, 0.5)  # ratios of other alphas from which a solution is continued
_SIZES = (1.0, 1.6, 0.6, 2.6, 0.35, 5.0)  # values of chi relative to the guess
# |g|, its phase and p / |g|², relative to the guess for minima; determined empirically for a = 0.001 to 10
_SADDLES = (
    (0.8, 1.3, 2.8),
    (0.2, 1.9, 2.0),
    (0.012, 2.5, 1.7),
    (0.05, 2.2, 1.7),
    (0.005, 2.6, 1.55),
    (0.0024, 2.6, 1.55),
    (0.5, 0.9, 2.5),
    (0.4, 2.2, 2.4),
)


def require_symmetric(loss: Loss) -> Loss:
    """Return the loss if it is even in ``yhat`` and ``y``.

    Raises
    ------
    ValueError
        If the value changes with a sign.
    """
    yhat, y = np.random.default_rng(0).uniform(0.1, 3.0, size=(2, 64))
    here = loss.value(yhat, y)
    if not (np.allclose(here, loss.value(-yhat, y)) and np.allclose(here, loss.value(yhat, -y))):
        raise ValueError(
            f"the value of {loss!r} changes with the sign of yhat or y, which phase retrieval does not see; "
            "use a loss that is even in both"
        )
    return loss


def best_start(problem: Problem, alpha: float) -> Point:
    """Coarse solution of a problem of fixed alpha.

    Raises
    ------
    ConvergenceError
        If none is found.
    """
    found = direct_starts(problem, alpha)
    if not found:
        found = list(_solutions(problem, _continued(problem, alpha)))
    if not found:
        raise ConvergenceError(
            f"no {'minima' if problem.minima else 'critical points'} of {problem.loss!r} were found at "
            f"alpha = {alpha:.6g}, overlap {problem.overlap:.4g}"
            + ("" if problem.energy is None else f" and energy {problem.energy:.6g}")
        )
    return max(found, key=lambda point: evaluate(problem, point).complexity)


def direct_starts(problem: Problem, alpha: float, guesses: int | None = None) -> list[Point]:
    """Coarse solutions found directly from guesses, optionally only the first few."""
    return list(_solutions(problem, islice(_guesses(problem, alpha), guesses)))


def followed(
    problem_at: Callable[[float], Problem], start: Point, begin: float, end: float, *, alpha: bool = False
) -> Point:
    """Coarse solution at the end of a continuation in one number, or in alpha.

    Raises
    ------
    ConvergenceError
        If the continuation fails.
    """
    here, step, point = begin, end - begin, start
    while here != end:
        there = end if abs(end - here) <= abs(step) else here + step
        try:
            guess = moved(point, alpha=there) if alpha else point
            point = coarse_solution(problem_at(there), guess)
        except ConvergenceError:
            step *= 0.5
            if abs(step) < _SMALLEST_STEP * abs(end - begin):
                raise
        else:
            here, step = there, 2 * step
    return point


def _solutions(problem: Problem, guesses: Iterator[Point]) -> Iterator[Point]:
    """Coarse solutions near the guesses: the first one for minima, all for other critical points."""
    for guess in guesses:
        try:
            yield coarse_solution(problem, guess)
        except ConvergenceError:
            continue
        if problem.minima:
            return


def _guesses(problem: Problem, alpha: float) -> Iterator[Point]:
    one = np.ones(1)
    loss = problem.loss
    stiffness = max(float(loss.curvature(one, one)[0]), -float(loss.curvature(0 * one, one)[0]))
    chi = 1.8 / (stiffness * np.sqrt(alpha))
    slope = 0.0 if problem.energy is None else 0.2 / max(abs(problem.energy), 1e-6)
    if problem.minima:
        for size in _SIZES:
            at = size * chi
            if problem.marginal:
                yield Point(Multipliers(complex(-at, 0), 2.8 * at**2, 0.45 * at, slope), alpha)
            else:
                yield Point(Multipliers(complex(-at, 0), 4.0 * at**2, 0.0, 4 * slope), alpha)
    else:
        for size, phase, ratio in _SADDLES:
            modulus = size * chi
            yield Point(
                Multipliers(modulus * np.exp(1j * (np.pi - phase)), ratio * modulus**2, 0.0, slope), alpha
            )


def _continued(problem: Problem, alpha: float) -> Iterator[Point]:
    """Starting points by continuation from the most numerous: in alpha, then overlap, then energy."""
    plain = replace(problem, marginal=True, overlap=0.0, energy=None)
    for point in _most_numerous(plain, alpha):
        try:
            if problem.overlap:
                point = followed(lambda m: replace(plain, overlap=m), point, 0.0, problem.overlap)
            if problem.energy is not None:
                placed = replace(problem, energy=None)
                here = evaluate(placed, point).energy
                point = followed(lambda e: replace(problem, energy=e), point, here, problem.energy)
        except ConvergenceError:
            continue
        yield point


def _most_numerous(plain: Problem, alpha: float) -> Iterator[Point]:
    found = direct_starts(plain, alpha)
    yield from found
    if found:
        return
    for ratio in _RATIOS:
        for point in _solutions(plain, _guesses(plain, ratio * alpha)):
            try:
                yield followed(lambda _: plain, point, ratio * alpha, alpha, alpha=True)
            except ConvergenceError:
                continue
