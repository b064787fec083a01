"""Stationarity equations of the Kac-Rice complexity (docs/explanation/landscape.md).

The complexity is ``Sigma = D + A e`` with

    ``D = log(p) / 2 - log|g| + kappa / g + log(1 - m²) / 2 + alpha <log Z>``,

where ``Z`` is the mass of the tilted Gaussian (:mod:`phasepipe.theory.tilted`). It is stationary in all
multipliers. A problem is a subset of the following equations, which are solved together by Newton's method
with exact derivatives:

* resolvent of the Hessian at 0: ``alpha <T / (1 - g T) - yhat l'> + 1 / g = 0`` (real part),
* size of the gradient: ``alpha p <l'^2> = 1``,
* ``alpha <|g T / (1 - g T)|²> = 1``: the edge of the Hessian is at 0 (real ``g``), or its density there is
  positive (complex ``g``),
* a given energy ``alpha <l> = e``, or complexity 0; zero gradient towards the signal, ``<y_e l'> = 0``,
* response to the signal ``-alpha <(y_e² - 1) chi T / (1 + chi T)> = 1`` with ``chi = -g``,
* for minima constrained to this response by a multiplier ``delta``: stationarity in ``chi``, which is then a
  separate equation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.losses import Loss
from phasepipe.theory.tilted import Labels, Multipliers, TiltedMeasure
from phasepipe.theory.tilted_averages import (
    ALPHA,
    CHI,
    EDGE,
    ENERGY,
    ETA,
    GRADIENT,
    OUTLIER,
    UNKNOWNS,
    Average,
    Averages,
    Unknown,
    averages_at,
)

Float64 = NDArray[np.float64]
Equation = Literal["resolvent", "gradient", "edge", "energy", "complexity", "signal", "response", "stable"]


@dataclass(frozen=True)
class Problem:
    """Definition of the critical points to find."""

    loss: Loss
    minima: bool  # only minima, otherwise any critical points
    marginal: bool  # an edge, or a positive density of eigenvalues, at 0
    held: bool = False  # require no negative direction towards the signal; for minima at overlap 0
    overlap: float = 0.0
    energy: float | None = None  # prescribed energy per dimension, alpha <l>
    conditions: tuple[Equation, ...] = ()  # additional equations: "complexity", "response"
    released: tuple[Unknown, ...] = ()  # additional unknowns, "energy" or "alpha", one for each condition
    labels: Labels = "typical"

    def inside(self) -> Problem:
        """The same problem without the condition that an edge is at 0."""
        return replace(self, marginal=False)

    def holding(self) -> Problem:
        """The same problem with the condition of no negative direction towards the signal."""
        return replace(self, marginal=False, held=True)

    @property
    def unknowns(self) -> tuple[Unknown, ...]:
        """Unknowns of the equations; their number equals that of the equations."""
        wanted = {"chi", "gradient", *self.released}
        if self.marginal:
            wanted.add("edge" if self.minima else "eta")
        if self.energy is not None:
            wanted.add("energy")
        if self.overlap:
            wanted.add("signal")
        if self.held:
            wanted |= {"edge", "outlier"}
        return tuple(name for name in UNKNOWNS if name in wanted)

    @property
    def equations(self) -> tuple[Equation, ...]:
        """Equations of the problem."""
        equations: list[Equation] = ["resolvent", "gradient", *self.conditions]
        if self.marginal:
            equations.append("edge")
        if self.energy is not None:
            equations.append("energy")
        if self.overlap:
            equations.append("signal")
        if self.held:
            equations += ["response", "stable"]
        return tuple(equations)


@dataclass(frozen=True)
class Point:
    """Multipliers and alpha at which the equations are evaluated."""

    multipliers: Multipliers
    alpha: float

    def parameters(self) -> Float64:
        """Values of :data:`UNKNOWNS`."""
        at = self.multipliers
        g = at.resolvent
        return np.array([-g.real, g.imag, at.gradient, at.edge, at.energy, at.signal, at.outlier, self.alpha])

    def inside(self) -> Point:
        """The same point without a multiplier for the edge."""
        return moved(self, edge=0.0)

    @classmethod
    def of(cls, parameters: Float64) -> Point:
        """Inverse of :meth:`parameters`."""
        chi, eta, gradient, edge, energy, signal, outlier, alpha = (float(value) for value in parameters)
        return cls(Multipliers(complex(-chi, eta), gradient, edge, energy, signal, outlier), alpha)


@dataclass(frozen=True)
class Evaluation:
    """Complexity and averages at a point, whether or not it solves the equations."""

    point: Point
    complexity: float  # per dimension
    energy: float  # per dimension, alpha <l>
    multiplier: float  # mu of docs/explanation/physics.md §3, alpha <yhat l'>
    square: float  # alpha <|g T / (1 - g T)|²>
    response: float  # -alpha <(y_e² - 1) Re(-g T / (1 - g T))>
    residual: dict[Equation, float]
    slopes: dict[Equation, Float64]  # derivatives of the residuals by UNKNOWNS

    def residuals(self, problem: Problem) -> Float64:
        """Dimensionless residuals of the equations of a problem."""
        return np.array([self.residual[name] for name in problem.equations])

    def jacobian(self, problem: Problem) -> Float64:
        """Derivatives of the residuals by the unknowns of the problem."""
        columns = [UNKNOWNS.index(name) for name in problem.unknowns]
        return np.array([self.slopes[name][columns] for name in problem.equations])


def evaluate(problem: Problem, point: Point, level: int = 0) -> Evaluation:
    """Complexity, residuals and their exact derivatives at a point."""
    at, alpha = point.multipliers, point.alpha
    averages = averages_at(
        TiltedMeasure(problem.loss, at, problem.overlap, problem.minima, problem.labels), level
    )
    chi, eta = -at.resolvent.real, at.resolvent.imag
    modulus = abs(at.resolvent)
    by_modulus = np.zeros(len(UNKNOWNS))  # derivative of |g| by chi and eta
    by_modulus[:2] = chi / modulus, eta / modulus
    residual: dict[Equation, float] = {}
    slopes: dict[Equation, Float64] = {}

    def extensive(name: Average) -> tuple[float, Float64]:
        """Alpha times an average, and its derivatives."""
        mean, by = averages.mean[name], alpha * averages.slopes[name]
        by[ALPHA] = mean
        return alpha * mean, by

    # 1 / g = -(chi + i eta) / |g|²; the residual is in units of 1 / |g|
    seen, by = extensive("resolvent")
    seen -= chi / modulus**2
    by[CHI] -= 1 / modulus**2
    by += 2 * chi / modulus**3 * by_modulus
    residual["resolvent"] = seen * modulus
    slopes["resolvent"] = by * modulus + seen * by_modulus

    size, by = extensive("gradient")
    residual["gradient"] = at.gradient * size - 1
    slopes["gradient"] = at.gradient * by
    slopes["gradient"][GRADIENT] += size

    square, by = extensive("square")
    residual["edge"] = modulus**2 * square - 1
    slopes["edge"] = modulus**2 * by + 2 * modulus * square * by_modulus

    energy, by = extensive("energy")
    wanted = energy if problem.energy is None else problem.energy
    scale = max(abs(wanted), 1e-12)
    residual["energy"] = (energy - wanted) / scale
    slopes["energy"] = by / scale
    free, free_slopes = _free_energy(at, alpha, averages)
    free += 0.5 * np.log(1 - problem.overlap**2)
    residual["complexity"] = free + at.energy * energy
    slopes["complexity"] = free_slopes + at.energy * by
    slopes["complexity"][ENERGY] += energy

    towards, by = extensive("signal")
    root_gradient = np.sqrt(at.gradient)
    residual["signal"] = root_gradient * towards
    slopes["signal"] = root_gradient * by
    slopes["signal"][GRADIENT] += 0.5 * towards / root_gradient

    weighted, by = extensive("response")
    residual["response"] = -chi * weighted - 1
    slopes["response"] = -chi * by
    slopes["response"][CHI] -= weighted

    # chi times the derivative of the constraints by chi, each with its multiplier
    bent, by_bent = extensive("response_slope")
    curving = at.edge * (1 / chi**2 - square) - at.outlier * (1 / chi**2 + bent)
    by = -at.edge * extensive("square")[1] - at.outlier * by_bent
    by[CHI] += 2 * (at.outlier - at.edge) / chi**3
    by[EDGE] += 1 / chi**2 - square
    by[OUTLIER] -= 1 / chi**2 + bent
    residual["stable"] = chi * curving
    slopes["stable"] = chi * by
    slopes["stable"][CHI] += curving

    return Evaluation(
        point=point,
        complexity=float(residual["complexity"]),
        energy=float(energy),
        multiplier=float(alpha * averages.mean["work"]),
        square=float(residual["edge"] + 1),
        response=float(residual["response"] + 1),
        residual=residual,
        slopes=slopes,
    )


def _free_energy(at: Multipliers, alpha: float, averages: Averages) -> tuple[float, Float64]:
    """``D`` at overlap 0, and its derivatives by all unknowns."""
    chi, eta = -at.resolvent.real, at.resolvent.imag
    squared = abs(at.resolvent) ** 2
    # constants of the constraints, for minima only
    held = (at.outlier - at.edge) / chi if at.outlier or at.edge else 0.0
    value = 0.5 * np.log(at.gradient) - 0.5 * np.log(squared) + held + alpha * averages.log_norm
    slopes = alpha * averages.norm_slopes
    slopes[ALPHA] = averages.log_norm
    slopes[CHI] -= chi / squared + (held / chi if held else 0.0)
    slopes[ETA] -= eta / squared
    slopes[GRADIENT] += 0.5 / at.gradient
    if eta == 0:
        slopes[EDGE] -= 1 / chi
        slopes[OUTLIER] += 1 / chi
    return float(value), slopes


def moved(point: Point, **changes: float) -> Point:
    """The point with some parameters of :class:`Multipliers`, or alpha, replaced."""
    alpha = changes.pop("alpha", point.alpha)
    return Point(replace(point.multipliers, **changes), alpha)
