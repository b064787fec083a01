"""Threshold states, where gradient descent is trapped, for N to infinity (PHYSICS §7).

One-step replica symmetry breaking, marginal, zero overlap. The unknowns are ``chi`` and ``x``; saddle point
and marginality each give an ``alpha`` for any ``(chi, x)``, and the two must agree. As ``chi`` grows from 0
along this line alpha falls from infinity; ``alpha_threshold`` is where the Hessian of the states ceases to
have an outlier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, root

from phasepipe.physics.losses import Loss
from phasepipe.theory.measure import ThresholdMeasure
from phasepipe.theory.population import ACCURACY, Outlier, Response, find_outlier
from phasepipe.theory.quadrature import TOLERANCE, ConvergenceError, Floats
from phasepipe.theory.requirements import require_even

_COARSE = 1e-5  # quadrature tolerance while the solution is bracketed
_FIRST = 0.15  # chi tried first, in units of 1 / curvature: small, so that the search begins at large alpha
_NEAREST_ZERO = 1e-6  # end of the search towards large alpha, in the same units
_STEP = 1.6  # factor between the values of chi that are tried
_SMALLEST_STEP = 0.005  # of log chi: the line has ended there
_LAST = 100.0  # chi tried last, in units of 1 / curvature: alpha is near 1 and the energy near 0 there
Target = Callable[["Averages"], float]


@dataclass(frozen=True)
class ThresholdStates:
    """Marginal one-step-RSB threshold states (PHYSICS §7)."""

    loss: Loss
    alpha: float  # measurements per dimension
    chi: float  # response, in units of 1 / curvature; the spectrum has its edge at g = -chi
    x: float  # Parisi parameter, in units of 1 / loss
    energy: float  # loss per dimension, alpha <l>
    mu: float  # Lagrange multiplier per PHYSICS §3, alpha <yhat l'>
    gap: float  # left edge of the Hessian's bulk; 0 unless the predictions jump at h = 0
    signal_response: float  # -alpha <(y² - 1) chi T / (1 + chi T)>; an outlier exists where it exceeds 1
    relative_error: float  # largest relative error of alpha (or of the energy), chi, x

    @property
    def measure(self) -> ThresholdMeasure:
        """Distribution of predictions and labels."""
        return ThresholdMeasure(self.loss, self.chi, self.x)

    @property
    def has_outlier(self) -> bool:
        """Whether the Hessian has a direction towards the signal: alpha is above ``alpha_threshold``."""
        return self.signal_response > 1


@dataclass(frozen=True)
class Averages:
    """What the equations need at one ``(chi, x)``."""

    chi: float
    x: float
    displacement: float  # <(yhat - h)²>
    square: float  # <(chi T / (1 + chi T))²>
    signal: float  # <(y² - 1) chi T / (1 + chi T)>
    energy: float  # <l>
    work: float  # <yhat l'>
    weight: float  # <chi T / (1 + chi T)>
    relative_error: float  # of the averages that enter the equations

    @property
    def alpha(self) -> float:
        """Measurements per dimension by marginality."""
        return 1 / self.square

    @property
    def mismatch(self) -> float:
        """Logarithm of alpha by the saddle point over alpha by marginality."""
        return float(np.log(self.chi / (self.chi + self.x) / self.displacement * self.square))


def averages_at(loss: Loss, chi: float, x: float, tolerance: float = TOLERANCE) -> Averages:
    """Averages of PHYSICS §7 at given ``chi`` and ``x``."""

    def averaged(yhat: Floats, y: Floats) -> Floats:
        slope = loss.slope(yhat, y)
        scaled = chi * loss.curvature(yhat, y)
        ratio = scaled / (1 + scaled)
        values = ((chi * slope) ** 2, ratio**2, (y * y - 1) * ratio, loss.value(yhat, y), yhat * slope, ratio)
        return np.stack(values)

    estimate = ThresholdMeasure(loss, chi, x).average(averaged, tolerance=tolerance)
    displacement, square, signal, energy, work, weight = (float(value) for value in estimate.value)
    # The signal average is compared with a number of the size of the square.
    relative = np.max(estimate.error[:4] / np.array([displacement, square, square, energy]))
    return Averages(chi, x, displacement, square, signal, energy, work, weight, float(relative))


def threshold_states(loss: Loss, alpha: float) -> ThresholdStates:
    """Threshold states at a signal-to-noise ratio (PHYSICS §7).

    Where several solutions exist, the one that continues from large alpha is returned.

    Parameters
    ----------
    loss
        Any loss that is even in both arguments and smallest at ``|yhat| = |y|``.
    alpha
        Measurements per dimension.

    Raises
    ------
    ValueError
        If the loss does not qualify, or threshold states do not exist at this alpha.
    ConvergenceError
        If the averages or the solution do not reach a relative 1e-6.
    """
    if not (np.isfinite(alpha) and alpha > 0):
        raise ValueError(
            f"alpha = {alpha!r} is not a positive finite number of measurements per dimension; "
            "take for example 3.0"
        )
    accepted = require_even(loss)

    def target(averages: Averages) -> float:
        return float(np.log(averages.alpha / alpha))

    states = _solve(accepted, target)
    if states is None:
        raise ValueError(
            f"alpha = {alpha:.6g} is outside the range where threshold states of {loss!r} exist, or continue "
            "from large alpha; take an alpha nearer to alpha_threshold"
        )
    return states


def threshold_transition(loss: Loss) -> ThresholdStates:
    """Threshold states at ``alpha_threshold``: their Hessian begins to point to the signal (PHYSICS §7).

    Raises
    ------
    ValueError
        If the loss is not even, or there is no such alpha.
    ConvergenceError
        If the averages or the solution do not reach a relative 1e-6.
    """
    accepted = require_even(loss)

    def target(averages: Averages) -> float:
        return -averages.alpha * averages.signal - 1

    states = _solve(accepted, target)
    if states is None:
        raise ValueError(
            f"the threshold states of {loss!r} have no transition towards the signal; alpha_threshold does "
            "not exist"
        )
    return states


def alpha_threshold(loss: Loss) -> float:
    """Alpha above which even the threshold states have a way out towards the signal (PHYSICS §7).

    See :func:`threshold_transition` for the states there, the error and the exceptions.
    """
    return threshold_transition(loss).alpha


def threshold_outlier(states: ThresholdStates) -> Outlier:
    """Edge, outlier and squared overlap of the Hessian at the threshold, measured from the edge (PHYSICS §5,
    §7).

    Marginality puts the edge at 0, and the eigenvalue is negative where it exists (``states.has_outlier``).
    """

    def response(resolvent: float) -> Response:
        def averaged(yhat: Floats, y: Floats) -> Floats:
            scaled = resolvent * states.loss.curvature(yhat, y)
            ratio = scaled / (1 - scaled)
            signal = y * y - 1
            return np.stack([ratio, ratio**2, signal * ratio, signal * ratio**2])

        return Response.of(states.measure.average(averaged))

    found = find_outlier(response, states.alpha, -states.chi, edge=-states.chi)
    return Outlier(
        0.0, float(found.eigenvalue - found.edge), found.overlap, found.resolvent_edge, smooth_edge=False
    )


def _solve(loss: Loss, target: Target) -> ThresholdStates | None:
    """Solve mismatch and target together; None if the target is not crossed."""
    ends = _bracket(loss, target)
    if ends is None:
        return None
    last: list[Averages] = []

    def residual(logs: Floats) -> Floats:
        averages = averages_at(loss, *np.exp(logs))
        last[:] = [averages]
        return np.array([averages.mismatch, target(averages)])

    def solve(logs: Floats) -> Floats:
        return np.asarray(root(residual, logs, method="hybr", options={"xtol": 1e-11}).x)

    logs = solve(_interpolated(ends, target))
    lower, upper = sorted(np.log([end.chi for end in ends]))
    if not lower <= logs[0] <= upper:  # attracted by another solution, or lost
        logs = solve(_refined(loss, ends, target))
    remainder = residual(logs)
    averages = last[0]
    step = 1e-5
    jacobian = np.empty((2, 2))
    energy_slope = np.empty(2)
    alpha_slope = np.empty(2)
    for k in range(2):
        jacobian[:, k] = (residual(logs + step * np.eye(2)[k]) - remainder) / step
        energy_slope[k] = np.log(last[0].energy * last[0].alpha / averages.energy / averages.alpha) / step
        alpha_slope[k] = np.log(last[0].alpha / averages.alpha) / step
    uncertain = np.abs(np.linalg.inv(jacobian)) @ (np.abs(remainder) + 2 * averages.relative_error)
    derived = [
        np.abs(slope) @ uncertain + 2 * averages.relative_error for slope in (energy_slope, alpha_slope)
    ]
    relative_error = float(max(*uncertain, *derived))
    if not relative_error < ACCURACY:
        raise ConvergenceError(
            f"the threshold states of {loss!r} near alpha = {averages.alpha:.6g} are known to a relative "
            f"{relative_error:.1e} only, not to {ACCURACY:.0e}"
        )
    alpha = averages.alpha
    mu = alpha * averages.work
    return ThresholdStates(
        loss=loss,
        alpha=alpha,
        chi=float(averages.chi),
        x=float(averages.x),
        energy=alpha * averages.energy,
        mu=mu,
        gap=float((alpha * averages.weight - 1) / averages.chi - mu),
        signal_response=-alpha * averages.signal,
        relative_error=relative_error,
    )


def _bracket(loss: Loss, target: Target) -> tuple[Averages, Averages] | None:
    """Follow the line of agreeing alphas up in ``chi`` until the target changes sign; two ends around it.

    The first crossing from small ``chi``, that is from large alpha, counts; beyond a fold of the line, where
    alpha begins to rise again, the states are no continuation of those at large alpha and the search ends.
    """
    one, none = np.ones(1), np.zeros(1)
    stiffness = float(max(loss.curvature(one, one)[0], -loss.curvature(none, one)[0]))
    here = _on_line(loss, _FIRST / stiffness, _FIRST * stiffness)
    if here is None:
        return None
    value = target(here)
    factor = _STEP if value > 0 else 1 / _STEP
    while here.chi * stiffness < _LAST:
        there = _step_along_line(loss, here, factor)
        if there is None:
            factor = factor**0.5
            if abs(np.log(factor)) < _SMALLEST_STEP:
                return None
        elif target(there) * value <= 0:
            break
        else:
            here = there
            if here.chi * stiffness < _NEAREST_ZERO:
                return None
    else:
        return None
    assert there is not None
    return here, there


def _interpolated(ends: tuple[Averages, Averages], target: Target) -> Floats:
    """Logarithms of ``chi`` and ``x`` where the target would vanish if it were linear between two points."""
    here, there = (np.log([end.chi, end.x]) for end in ends)
    share = target(ends[0]) / (target(ends[0]) - target(ends[1]))
    return np.asarray(here + share * (there - here))


def _refined(loss: Loss, ends: tuple[Averages, Averages], target: Target) -> Floats:
    """Logarithms of ``chi`` and ``x`` of the target's zero on the line between two points, to 1e-2."""
    here, there = ends
    found = there

    def along(log_chi: float) -> float:
        nonlocal found
        point = _on_line(loss, float(np.exp(log_chi)), there.x)
        if point is None:
            raise ConvergenceError(f"the threshold states of {loss!r} end near chi = {np.exp(log_chi):.4g}")
        found = point
        return target(point)

    brentq(along, np.log(here.chi), np.log(there.chi), xtol=1e-2)
    return np.log([found.chi, found.x])


def _step_along_line(loss: Loss, here: Averages, factor: float) -> Averages | None:
    """Next point of the line; None where it ends or folds back."""
    try:
        there = _on_line(loss, here.chi * factor, here.x * factor)
    except ConvergenceError:
        return None
    if there is None or (there.alpha - here.alpha) * (factor - 1) > 0:
        return None
    return there


def _on_line(loss: Loss, chi: float, x_guess: float) -> Averages | None:
    """Find the ``x`` at which saddle point and marginality agree; None if there is none nearby."""
    found: Averages | None = None

    def mismatch(log_x: float) -> float:
        nonlocal found
        found = averages_at(loss, chi, float(np.exp(log_x)), _COARSE)
        return found.mismatch

    centre = float(np.log(x_guess))
    value = mismatch(centre)
    direction = 1.0 if value > 0 else -1.0  # the mismatch falls with x
    step = 0.4
    lower = centre
    for _ in range(8):
        upper = lower + direction * step
        if mismatch(upper) * value <= 0:
            brentq(mismatch, min(lower, upper), max(lower, upper), xtol=1e-3)
            return found
        lower, step = upper, 1.6 * step
    return None
