"""Stationarity equations of the Kac-Rice complexity (docs/explanation/landscape.md).

The complexity is ``Sigma = D + A e`` with

    ``D = log(p) / 2 - log|g| + kappa / g + log(1 - m²) / 2 + alpha <log Z>``,

``Z`` the mass of the tilted Gaussian (:mod:`phasepipe.theory.tilted`), and it is stationary in all multipliers.
Everything that may be asked for is an equation among the following, solved together by Newton's method with
exact derivatives:

* the Hessian is seen at 0: ``alpha <T / (1 - g T) - yhat l'> + 1 / g = 0`` (real part),
* the gradient's size: ``alpha p <l'^2> = 1``,
* ``alpha <|g T / (1 - g T)|²> = 1``: its edge is at 0 (real ``g``), or its density there is positive (complex),
* a given energy ``alpha <l> = e``, or complexity 0; the gradient towards the signal, ``<y_e l'> = 0``,
* response to the signal ``-alpha <(y_e² - 1) chi T / (1 + chi T)> = 1`` with ``chi = -g``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root

from phasepipe.physics.losses import Loss
from phasepipe.theory.quadrature import ConvergenceError
from phasepipe.theory.tilted import Labels, Multipliers, TiltedMeasure

Float64 = NDArray[np.float64]
Unknown = Literal["chi", "eta", "gradient", "edge", "energy", "signal", "alpha"]
Equation = Literal["resolvent", "gradient", "edge", "energy", "complexity", "signal", "response"]

UNKNOWNS: tuple[Unknown, ...] = ("chi", "eta", "gradient", "edge", "energy", "signal", "alpha")
ACCURACY = 1e-6
"""Absolute accuracy that every complexity is held to, and relative one of energy and alpha."""
_LEVELS = 4
_POLISHING = 6
_SOLVED = 1e-11


@dataclass(frozen=True)
class Problem:
    """Which critical points are looked for."""

    loss: Loss
    minima: bool  # else any critical point
    marginal: bool  # an edge, or a positive density of eigenvalues, at 0
    overlap: float = 0.0
    energy: float | None = None  # per dimension, alpha <l>, where it is prescribed
    conditions: tuple[Equation, ...] = ()  # beyond a prescribed energy: "complexity", "response"
    released: tuple[Unknown, ...] = ()  # as many unknowns, "energy" or "alpha", solved for to meet these
    labels: Labels = "typical"

    def inside(self) -> Problem:
        """The same without the condition that an edge is at 0."""
        return replace(self, marginal=False)

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """Unknowns of the equations, as many as there are."""
        wanted = {"chi", "gradient", *self.released}
        if self.marginal:
            wanted.add("edge" if self.minima else "eta")
        if self.energy is not None:
            wanted.add("energy")
        if self.overlap:
            wanted.add("signal")
        return tuple(name for name in UNKNOWNS if name in wanted)

    @property
    def equations(self) -> tuple[Equation, ...]:
        """Equations, in an order of their own."""
        equations: list[Equation] = ["resolvent", "gradient", *self.conditions]
        if self.marginal:
            equations.append("edge")
        if self.energy is not None:
            equations.append("energy")
        if self.overlap:
            equations.append("signal")
        return tuple(equations)


@dataclass(frozen=True)
class Point:
    """Multipliers and alpha at which the equations are looked at."""

    multipliers: Multipliers
    alpha: float

    def parameters(self) -> Float64:
        """Values of :data:`UNKNOWNS`."""
        at = self.multipliers
        g = at.resolvent
        return np.array([-g.real, g.imag, at.gradient, at.edge, at.energy, at.signal, self.alpha])

    def inside(self) -> Point:
        """The same with no multiplier for the edge."""
        return moved(self, edge=0.0)

    @classmethod
    def of(cls, parameters: Float64) -> Point:
        """Inverse of :meth:`parameters`."""
        chi, eta, gradient, edge, energy, signal, alpha = (float(value) for value in parameters)
        return cls(Multipliers(complex(-chi, eta), gradient, edge, energy, signal), alpha)


@dataclass(frozen=True)
class Evaluation:
    """Complexity and averages at a point, whether or not it solves the equations."""

    point: Point
    complexity: float  # per dimension
    energy: float  # per dimension, alpha <l>
    multiplier: float  # mu of PHYSICS §3, alpha <yhat l'>
    square: float  # alpha <|g T / (1 - g T)|²>
    response: float  # -alpha <(y_e² - 1) Re(-g T / (1 - g T))>
    residual: dict[Equation, float]
    slopes: dict[Equation, Float64]  # of the residuals by UNKNOWNS

    def residuals(self, problem: Problem) -> Float64:
        """Residuals of the equations of a problem, dimensionless."""
        return np.array([self.residual[name] for name in problem.equations])

    def jacobian(self, problem: Problem) -> Float64:
        """Their derivatives by the unknowns of the problem."""
        columns = [UNKNOWNS.index(name) for name in problem.unknowns]
        return np.array([self.slopes[name][columns] for name in problem.equations])


def evaluate(problem: Problem, point: Point, level: int = 0) -> Evaluation:
    """Complexity, residuals and their exact derivatives at a point."""
    at, alpha = point.multipliers, point.alpha
    loss, m = problem.loss, problem.overlap
    grid = TiltedMeasure(loss, at, m, problem.minima, problem.labels).grid(level)
    yhat, y = grid.yhat, grid.y
    slope, T = loss.slope(yhat, y), loss.curvature(yhat, y)
    g = at.resolvent if at.resolvent.imag else at.resolvent.real
    kept = grid.conditional > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(kept, T / (1 - g * T), 0.0)
    real, imaginary, size = r.real, r.imag, np.abs(r) ** 2
    work = yhat * slope
    tangent = (y - m * yhat) / np.sqrt(1 - m * m)
    excess = tangent**2 - 1
    value = loss.value(yhat, y)
    r_squared = r * r
    functions = np.stack([real - work, slope**2, size, value, tangent * slope, excess * real, work])
    tilts = np.stack(
        [
            real - work - at.edge * r_squared.real,
            imaginary,
            -0.5 * slope**2,
            real - work,
            -value,
            -tangent * slope,
        ]
    )
    means = grid.average(functions)
    slopes = np.zeros((len(functions), len(UNKNOWNS)))  # the last column, alpha, is explicit below
    slopes[:, :6] = grid.covariance(functions, tilts, problem.labels)
    explicit = np.stack(
        [
            r_squared.real,
            r_squared.imag,
            2 * size * real,
            2 * size * imaginary,
            excess * r_squared.real,
            excess * r_squared.imag,
        ]
    )
    changes = grid.average(explicit)
    for k, row in enumerate((0, 2, 5)):
        slopes[row, 0] -= changes[2 * k]
        slopes[row, 1] -= changes[2 * k + 1]

    chi, eta = -at.resolvent.real, at.resolvent.imag
    modulus = abs(at.resolvent)
    energy = alpha * means[3]
    free = (
        0.5 * np.log(at.gradient)
        - np.log(modulus)
        + 0.5 * np.log(1 - m * m)
        + alpha * grid.log_norm
        - (at.edge / chi if at.edge else 0.0)
    )
    by_modulus = np.array([chi, eta]) / modulus  # derivative of |g| by chi and eta
    imaginary_mean = float(grid.average(imaginary[None])[0])
    free_slopes = np.array(
        [
            -chi / modulus**2 + alpha * (means[0] - at.edge * changes[0]),
            -eta / modulus**2 + alpha * imaginary_mean,
            0.5 / at.gradient - 0.5 * alpha * means[1],
            alpha * means[0] - (1 / chi if problem.minima else 0.0),
            -alpha * means[3],
            -alpha * means[4],
            grid.log_norm,
        ]
    )
    if at.edge:
        free_slopes[0] += at.edge / chi**2

    residual: dict[Equation, float] = {}
    derivative: dict[Equation, Float64] = {}

    def explicit_alpha(row: int) -> Float64:
        total = alpha * slopes[row]
        total[6] = means[row]
        return total

    # 1 / g = -(chi + i eta) / |g|²; the residual is in units of 1 / |g|
    seen = alpha * means[0] - chi / modulus**2
    by = explicit_alpha(0)
    by[0] -= 1 / modulus**2 - 2 * chi * chi / modulus**4
    by[1] += 2 * chi * eta / modulus**4
    residual["resolvent"] = float(seen * modulus)
    derivative["resolvent"] = by * modulus
    derivative["resolvent"][:2] += seen * by_modulus

    residual["gradient"] = float(alpha * at.gradient * means[1] - 1)
    derivative["gradient"] = at.gradient * explicit_alpha(1)
    derivative["gradient"][2] += alpha * means[1]

    square = float(alpha * modulus**2 * means[2])
    residual["edge"] = square - 1
    derivative["edge"] = modulus**2 * explicit_alpha(2)
    derivative["edge"][:2] += alpha * means[2] * 2 * np.array([chi, eta])

    by = explicit_alpha(3)
    complexity = float(free + at.energy * energy)
    residual["complexity"] = complexity
    derivative["complexity"] = free_slopes + at.energy * by
    derivative["complexity"][4] += energy
    wanted = problem.energy if problem.energy is not None else energy
    residual["energy"] = float((energy - wanted) / max(abs(wanted), 1e-12))
    derivative["energy"] = by / max(abs(wanted), 1e-12)

    residual["signal"] = float(alpha * np.sqrt(at.gradient) * means[4])
    derivative["signal"] = np.sqrt(at.gradient) * explicit_alpha(4)
    derivative["signal"][2] += 0.5 * residual["signal"] / at.gradient

    response = float(-alpha * chi * means[5])
    residual["response"] = response - 1
    derivative["response"] = -chi * explicit_alpha(5)
    derivative["response"][0] -= alpha * means[5]
    return Evaluation(
        point, complexity, float(energy), float(alpha * means[6]), square, response, residual, derivative
    )


def solve(problem: Problem, start: Point) -> tuple[Evaluation, float]:
    """Solve the equations of a problem near a start, on finer and finer grids.

    Returns
    -------
    evaluation, error
        The solution, and the largest error of complexity (absolute), energy and alpha (relative), as the
        difference of the two finest grids.

    Raises
    ------
    ConvergenceError
        If there is no solution near the start, or it is not found to 1e-6.
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
        If there is none near the start.
    """
    edge = start.multipliers.edge
    if problem.marginal and problem.minima and edge > 0:
        # where chi T falls below -1 the square diverges with log(kappa), elsewhere kappa may be negative
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
    solution = root(
        system, initial, jac=True, method="hybr", options={"factor": 0.3, "xtol": 1e-9, "maxfev": 80}
    )
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
    """Whether an unknown is solved for by its logarithm."""
    if name == "edge":
        return positive_edge
    return name in ("eta", "gradient", "alpha") or (name == "chi" and problem.minima)


def moved(point: Point, **changes: float) -> Point:
    """The point with some parameters of :class:`Multipliers`, or alpha, replaced."""
    alpha = changes.pop("alpha", point.alpha)
    return Point(replace(point.multipliers, **changes), alpha)
