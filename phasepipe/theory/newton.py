"""Newton's method for the equations of the Kac-Rice complexity, on successively finer grids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root

from phasepipe.theory.kac_rice import Evaluation, Point, Problem, evaluate
from phasepipe.theory.quadrature import ConvergenceError
from phasepipe.theory.tilted_averages import UNKNOWNS, Unknown

Float64 = NDArray[np.float64]

ACCURACY = 1e-6
"""Absolute accuracy that every complexity is held to, and relative one of energy and alpha."""
_LEVELS = 4
_POLISHING = 6
_HYBRID: Any = {"factor": 0.3, "xtol": 1e-9, "maxfev": 50}
_SOLVED = 1e-11


def solve(problem: Problem, start: Point) -> tuple[Evaluation, float]:
    """Solve the equations of a problem near a starting point, on successively finer grids.

    Returns
    -------
    evaluation, error
        The solution, and the largest error of complexity (absolute), energy and alpha (relative), estimated
        by the difference between the two finest grids.

    Raises
    ------
    ConvergenceError
        If there is no solution near the starting point, or it is not found to 1e-6.
    """
    point = coarse_solution(problem, start)
    before, error = None, np.inf
    for level in range(_LEVELS):
        found = polished(problem, point, level)
        point = found.point
        if before is not None:
            error = max(
                abs(found.complexity - before.complexity),
                abs(found.energy / before.energy - 1),
                abs(found.point.alpha / before.point.alpha - 1),
            )
            if error < 0.1 * ACCURACY:
                return found, float(error)
        before = found
    if error < ACCURACY:
        return found, float(error)
    raise ConvergenceError(
        f"the complexity of {problem.loss!r} at alpha = {point.alpha:.6g} is known to {error:.1e} only"
    )


def coarse_solution(problem: Problem, start: Point) -> Point:
    """Solution on the coarsest grid by Powell's hybrid method.

    Raises
    ------
    ConvergenceError
        If there is no solution near the starting point.
    """
    edge = start.multipliers.edge
    if problem.marginal and problem.minima and edge > 0:
        # if chi T falls below -1, the square diverges with log(kappa); otherwise kappa may be negative
        try:
            return _hybrid(problem, start, positive_edge=False)
        except ConvergenceError:
            return _hybrid(problem, start, positive_edge=True)
    return _hybrid(problem, start, positive_edge=False)


def _hybrid(problem: Problem, start: Point, *, positive_edge: bool) -> Point:
    fixed = start.parameters()
    places = [UNKNOWNS.index(name) for name in problem.unknowns]
    logarithmic = np.array([_is_positive(problem, name, positive_edge) for name in problem.unknowns])

    def at(unknowns: Float64) -> Float64:
        parameters = fixed.copy()
        exponents = np.clip(unknowns, -40, 40)
        parameters[places] = np.where(logarithmic, np.exp(exponents), unknowns)
        return parameters

    def system(unknowns: Float64) -> tuple[Float64, Float64]:
        parameters = at(unknowns)
        with np.errstate(all="ignore"):
            found = evaluate(problem, Point.of(parameters))
        jacobian = found.jacobian(problem) * np.where(logarithmic, parameters[places], 1.0)
        residuals = found.residuals(problem)
        if not (np.isfinite(residuals).all() and np.isfinite(jacobian).all()):
            return np.full(len(places), 1e3), np.eye(len(places))
        return residuals, jacobian

    values = fixed[places]
    initial = np.where(logarithmic, np.log(np.where(logarithmic, np.maximum(values, 1e-30), 1.0)), values)
    solution = root(system, initial, jac=True, method="hybr", options=_HYBRID)
    if not np.abs(solution.fun).max() < 1e-5:
        raise ConvergenceError(
            f"no such critical points of {problem.loss!r} were found near alpha = {start.alpha:.6g} "
            f"(residual {np.abs(solution.fun).max():.1e})"
        )
    return Point.of(at(solution.x))


def polished(problem: Problem, point: Point, level: int) -> Evaluation:
    """Solution by Newton's method on one grid, from a point near it."""
    places = [UNKNOWNS.index(name) for name in problem.unknowns]
    for _ in range(_POLISHING):
        found = evaluate(problem, point, level)
        residuals = found.residuals(problem)
        if np.abs(residuals).max() < _SOLVED:
            break
        parameters = point.parameters()
        try:
            parameters[places] -= np.linalg.solve(found.jacobian(problem), residuals)
        except np.linalg.LinAlgError:
            break
        point = Point.of(parameters)
    if not np.abs(found.residuals(problem)).max() < 1e-3 * ACCURACY:
        raise ConvergenceError(
            f"the equations for critical points of {problem.loss!r} near alpha = {point.alpha:.6g} were not "
            "solved on a finer grid"
        )
    return found


def _is_positive(problem: Problem, name: Unknown, positive_edge: bool) -> bool:
    """Whether the logarithm of an unknown is used."""
    if name == "edge":
        return positive_edge
    return name in ("eta", "gradient", "alpha") or (name == "chi" and problem.minima)
