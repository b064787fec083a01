"""Annealed Kac-Rice complexity: the number of critical points and minima of a loss.

See docs/explanation/landscape.md for the derivation and its limits.

``Sigma`` is the logarithm of the expected number of critical points of ``L(w)`` on the sphere, per dimension,
for N to infinity at given ``alpha``, energy and overlap. The expectation is over the sensing matrix for
*typical* labels, that is, for almost every set of labels. ``labels="averaged"`` also averages over atypical
labels, as is common in the literature; the result is never smaller.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from phasepipe.errors import shown
from phasepipe.physics.arguments import require_number as finite_number
from phasepipe.physics.loss_check import check_loss
from phasepipe.physics.losses import Loss
from phasepipe.theory.kac_rice import Evaluation, Point, Problem
from phasepipe.theory.newton import solve
from phasepipe.theory.population import Outlier, Response, find_outlier
from phasepipe.theory.quadrature import ConvergenceError, Floats
from phasepipe.theory.requirements import require_alpha, require_number
from phasepipe.theory.starting_points import best_start, direct_starts, require_symmetric
from phasepipe.theory.tilted import Labels, Multipliers, TiltedMeasure

Kind = Literal["minima", "critical", "marginal", "stable"]
_KINDS = ("minima", "critical", "marginal", "stable")
_GUESSES = 3  # initial guesses that are tried before a continuation
_LEVEL = 2  # refinement of the grids for averages at a solution
_INTERIOR = 1e-6  # if square is below 1 by more than this, the edge is not at 0


@dataclass(frozen=True)
class CriticalPoints:
    """The critical points that dominate the count at given alpha, overlap and, if specified, energy."""

    loss: Loss
    kind: Kind
    alpha: float  # measurements per dimension
    overlap: float  # m, with the signal
    complexity: float  # Sigma, logarithm of the expected number per dimension
    energy: float  # loss per dimension, alpha <l>
    slope: float  # derivative of Sigma by the energy, in units of 1 / loss; 0 for the most numerous
    mu: float  # Lagrange multiplier of docs/explanation/physics.md §3, alpha <yhat l'>
    marginal: bool  # minima whose Hessian has its edge at 0
    signal_response: float  # above 1 the Hessian has a negative direction towards the signal
    multipliers: Multipliers  # of the distribution of predictions and labels
    labels: Labels
    error: float  # largest error of Sigma (absolute), energy and alpha (relative)

    def __float__(self) -> float:
        return self.complexity

    @property
    def measure(self) -> TiltedMeasure:
        """Joint distribution of predictions and labels."""
        return TiltedMeasure(
            self.loss, self.multipliers, self.overlap, self.kind != "critical", labels=self.labels
        )

    @property
    def has_outlier(self) -> bool:
        """Whether the Hessian has a negative direction towards the signal."""
        return self.signal_response > 1


def complexity(
    loss: Loss,
    alpha: float,
    *,
    energy: float | None = None,
    overlap: float = 0.0,
    kind: Kind = "minima",
    labels: Labels = "typical",
) -> CriticalPoints:
    """Complexity and properties of critical points.

    Parameters
    ----------
    loss
        Any loss that is even in both arguments.
    alpha
        Measurements per dimension.
    energy
        Loss per dimension, ``alpha <l>``; default: that of the most numerous critical points.
    overlap
        Overlap with the signal, in (-1, 1).
    kind
        ``"critical"`` points of any index; ``"minima"``, whose bulk of eigenvalues is positive (one
        direction, towards the signal, may have negative curvature, see ``signal_response``); ``"marginal"``
        minima, whose bulk begins at 0; or ``"stable"`` minima without any negative direction, which are
        available only at overlap 0.
    labels
        ``"typical"``, or ``"averaged"`` with the sensing matrix.

    Returns
    -------
    CriticalPoints
        Also if Sigma is negative; then typically no such points exist.

    Raises
    ------
    ValueError
        If an argument is out of range or the loss does not qualify.
    ConvergenceError
        If no such critical points are found, or not to 1e-6.
    """
    problem = problem_of(loss, alpha, energy=energy, overlap=overlap, kind=kind, labels=labels)
    alpha = float(alpha)
    # edge above 0: minima of low energy, where all critical points are minima
    inside = replace(problem, minima=True, marginal=False)
    attempts = [inside] if kind != "marginal" and energy is not None else []
    if kind in ("minima", "stable"):
        attempts += [problem, inside]
    for candidate in attempts:
        for start in direct_starts(candidate, alpha, _GUESSES):
            with suppress(ConvergenceError):
                return solution_near(candidate, start, kind)
    try:
        return solution_near(problem, best_start(problem, alpha), kind)
    except ConvergenceError:
        if kind not in ("minima", "stable"):
            raise
    return solution_near(inside, best_start(inside, alpha), kind)


def problem_of(
    loss: Loss, alpha: float, *, energy: float | None, overlap: float, kind: Kind, labels: Labels
) -> Problem:
    """Equations of :func:`complexity`, after checking the arguments."""
    require_symmetric(check_loss(loss))
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"kind = {shown(kind)} is none of {', '.join(_KINDS)}")
    if not isinstance(labels, str) or labels not in ("typical", "averaged"):
        raise ValueError(f"labels = {shown(labels)} is neither 'typical' nor 'averaged'")
    require_alpha(alpha)
    require_number("overlap", overlap, "0.0")
    if not -1 < overlap < 1:
        raise ValueError(
            f"overlap = {shown(overlap)} is not between -1 and 1; critical points at ±1 are the signal"
        )
    if energy is not None:
        energy = finite_number("energy", energy, example=0.2)
    if kind == "stable" and overlap:
        raise ValueError(
            f"overlap = {overlap!r}: stable minima are counted at overlap 0 only; take kind='minima'"
        )
    return Problem(
        loss, minima=kind != "critical", marginal=True, overlap=float(overlap), energy=energy, labels=labels
    )


def solution_near(problem: Problem, start: Point, kind: Kind) -> CriticalPoints:
    """Solution of a problem near a starting point.

    The constraint that the edge is at 0 is dropped for minima, and the constraint of stability towards the
    signal for stable minima, if this gives a larger complexity.
    """
    found, error = solve(problem, start)
    at = found.point.multipliers
    if problem.marginal and kind in ("minima", "stable") and at.edge < 0:
        return solution_near(problem.inside(), found.point.inside(), kind)
    if not (problem.marginal or found.square < 1 + _INTERIOR):
        raise ConvergenceError(
            f"the minima of {problem.loss!r} found at alpha = {found.point.alpha:.6g} are none: the bulk of "
            "their Hessian reaches below 0"
        )
    if kind == "stable" and not problem.held and found.response > 1:
        return solution_near(problem.holding(), found.point, kind)
    return described(problem, found, error, kind)


def described(problem: Problem, found: Evaluation, error: float, kind: Kind) -> CriticalPoints:
    """Convert a solution of the equations to the public result."""
    at = found.point.multipliers
    points = CriticalPoints(
        loss=problem.loss,
        kind=kind,
        alpha=found.point.alpha,
        overlap=problem.overlap,
        complexity=found.complexity,
        energy=found.energy,
        slope=at.energy,
        mu=found.multiplier,
        marginal=problem.minima and abs(found.square - 1) < _INTERIOR,
        signal_response=found.response,
        multipliers=at,
        labels=problem.labels,
        error=error,
    )
    if problem.overlap and problem.minima:
        return _with_full_response(points)
    return points


def landscape_outlier(points: CriticalPoints) -> Outlier:
    """Edge of the bulk of the Hessian, outlier towards the signal (``mu`` subtracted), and squared overlap.

    See docs/explanation/physics.md §5.

    Raises
    ------
    ValueError
        If the overlap is not 0; the prediction is exact only at overlap 0.
    """
    if points.overlap:
        raise ValueError("the outlier is predicted at overlap 0; see signal_response for stability elsewhere")
    grid = points.measure.grid(_LEVEL)
    T = points.loss.curvature(grid.yhat, grid.y)
    lowest = float(T[grid.conditional > 0].min())
    signal = grid.y**2 - 1

    def response(resolvent: float) -> Response:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(grid.conditional > 0, resolvent * T / (1 - resolvent * T), 0.0)
        weight, square, towards, towards_square = grid.average(
            np.stack([ratio, ratio**2, signal * ratio, signal * ratio**2])
        )
        return Response(float(weight), float(square), float(towards), float(towards_square), points.error)

    floor = 1 / lowest if lowest < 0 else -1e9
    edge = points.multipliers.resolvent.real if points.marginal else None
    found = find_outlier(response, points.alpha, floor if edge is None else edge, edge=edge)
    return Outlier(
        0.0 if points.marginal else float(found.edge - points.mu),
        float(found.eigenvalue - (found.edge if points.marginal else points.mu)),
        found.overlap,
        found.resolvent_edge,
        found.smooth_edge,
    )


def _with_full_response(points: CriticalPoints) -> CriticalPoints:
    """Response to the signal, including the correction by the vanishing gradient at nonzero overlap.

    The gradient vanishes in every tangent direction, ``sum_i l'_i z_i = 0``: the rows of X are not
    independent of the point, and the stability towards the signal gains ``chi² alpha <y_e l' r>² / <l'^2 (1 -
    chi r)>`` with ``r = T / (1 + chi T)``. It is zero at overlap 0, by symmetry.
    """
    chi, m = -points.multipliers.resolvent.real, points.overlap

    def averaged(yhat: Floats, y: Floats) -> Floats:
        slope, T = points.loss.slope(yhat, y), points.loss.curvature(yhat, y)
        with np.errstate(divide="ignore", invalid="ignore"):
            r = np.where(1 + chi * T > 0, T / (1 + chi * T), 0.0)
        tangent = (y - m * yhat) / np.sqrt(1 - m * m)
        return np.stack([tangent * slope * r, slope**2 * (1 - chi * r)])

    mixed, direct = points.measure.average(averaged, level=_LEVEL)
    gain = chi**2 * points.alpha * mixed**2 / direct
    values = {name: getattr(points, name) for name in points.__dataclass_fields__}
    return CriticalPoints(**(values | {"signal_response": float(points.signal_response - gain)}))
