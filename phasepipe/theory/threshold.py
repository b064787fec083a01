"""Threshold states as defined in the literature: one-step-RSB marginal states for N to infinity.

See docs/explanation/physics.md §7.

They approximate the states in which gradient descent is trapped. For all losses and alphas considered, their
complexity is negative, so that typically they do not exist. For the marginal minima that exist, and the band
of their thresholds, see :mod:`phasepipe.theory.landscape`.

The states are marginal, have zero overlap, and are described by one step of replica symmetry breaking. The
unknowns are ``chi`` and ``x``; the saddle-point equation and marginality each give an ``alpha`` for any
``(chi, x)``, and the two must agree. As ``chi`` increases from 0 along this line, alpha decreases from
infinity; below ``alpha_threshold`` the Hessian of the states has no outlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy.optimize import brentq, fsolve

from phasepipe.physics.losses import Loss
from phasepipe.theory.line import COARSE, Averages, Target, ThresholdLine, averages_at
from phasepipe.theory.measure import ThresholdMeasure
from phasepipe.theory.population import ACCURACY, Outlier, Response, find_outlier
from phasepipe.theory.quadrature import ConvergenceError, Floats
from phasepipe.theory.replica import replica_complexity
from phasepipe.theory.requirements import require_alpha, require_even

_NEARLY_SOLVED = 1e-3  # residual below which corrections converge
_EVALUATIONS = 20  # maximal number of evaluations; a start near the solution needs half of them
_DIFFERENCE = 1e-5  # finite difference in log chi and log x for derivatives
_SOLVED = 1e-11  # residual comparable to the accuracy of the averages
_CORRECTIONS = 4  # maximal number of corrections; two suffice from the coarse solution


@dataclass(frozen=True)
class ThresholdStates:
    """Marginal one-step-RSB threshold states (docs/explanation/physics.md §7)."""

    loss: Loss
    alpha: float  # measurements per dimension
    chi: float  # response, in units of 1 / curvature; the spectrum has its edge at g = -chi
    x: float  # Parisi parameter, in units of 1 / loss
    energy: float  # loss per dimension, alpha <l>
    mu: float  # Lagrange multiplier per docs/explanation/physics.md §3, alpha <yhat l'>
    gap: float  # left edge of the Hessian's bulk; 0 unless the predictions jump at h = 0
    signal_response: float  # -alpha <(y² - 1) chi T / (1 + chi T)>; an outlier exists if it exceeds 1
    relative_error: float  # largest relative error of alpha (or of the energy), chi, x

    @property
    def measure(self) -> ThresholdMeasure:
        """Distribution of predictions and labels."""
        return ThresholdMeasure(self.loss, self.chi, self.x)

    @cached_property
    def complexity(self) -> float:
        """Logarithm of their number per dimension, ``Phi + x E``; if negative, typically none exist."""
        return replica_complexity(self.measure, self.alpha, self.energy)

    @property
    def has_outlier(self) -> bool:
        """Whether the Hessian has a direction towards the signal: alpha is above ``alpha_threshold``."""
        return self.signal_response > 1


def threshold_states(loss: Loss, alpha: float) -> ThresholdStates:
    """Threshold states at a signal-to-noise ratio (docs/explanation/physics.md §7).

    If there are several solutions, the continuation from large alpha is returned.

    Parameters
    ----------
    loss
        Any loss that is even in both arguments and minimal at ``|yhat| = |y|``.
    alpha
        Measurements per dimension.

    Raises
    ------
    ValueError
        If the loss does not meet these conditions, or threshold states do not exist at this alpha.
    ConvergenceError
        If the averages or the solution do not reach a relative 1e-6.
    """
    return states_on(ThresholdLine(loss), alpha)


def states_on(line: ThresholdLine, alpha: float) -> ThresholdStates:
    """:func:`threshold_states` for a given line, which can be reused for other alphas."""
    alpha = require_alpha(alpha)

    def target(averages: Averages) -> float:
        return float(np.log(averages.alpha / alpha))

    states = _solve(line, target)
    if states is None:
        raise ValueError(
            f"alpha = {alpha:.6g} is outside the range where threshold states of {line.loss!r} exist, or "
            "continue from large alpha; take an alpha nearer to alpha_threshold"
        )
    return states


def threshold_transition(loss: Loss) -> ThresholdStates:
    """Threshold states at ``alpha_threshold``, where the outlier of their Hessian appears.

    See docs/explanation/physics.md §7.

    Raises
    ------
    ValueError
        If the loss is not even, or there is no such alpha.
    ConvergenceError
        If the averages or the solution do not reach a relative 1e-6.
    """
    return transition_on(ThresholdLine(loss))


def transition_on(line: ThresholdLine) -> ThresholdStates:
    """:func:`threshold_transition` for a given line, which can be reused for other alphas."""

    def target(averages: Averages) -> float:
        return -averages.alpha * averages.signal - 1

    states = _solve(line, target)
    if states is None:
        raise ValueError(
            f"the threshold states of {line.loss!r} have no transition towards the signal; alpha_threshold "
            "does not exist"
        )
    return states


def alpha_threshold(loss: Loss) -> float:
    """Threshold of the literature: above it the one-step-RSB marginal states are unstable towards the signal.

    Existing marginal minima become unstable in a band of alpha, see
    :func:`phasepipe.theory.landscape.threshold_band` (docs/explanation/physics.md §7).

    See :func:`threshold_transition` for the states there, the error and the exceptions.
    """
    return threshold_transition(loss).alpha


def threshold_outlier(states: ThresholdStates) -> Outlier:
    """Edge, outlier and squared overlap of the Hessian of threshold states.

    See docs/explanation/physics.md §5 and §7.

    By marginality the edge is at 0; the outlier, if it exists (``states.has_outlier``), is negative.
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


def _solve(line: ThresholdLine, target: Target) -> ThresholdStates | None:
    """Solve for zero mismatch and zero target; None if the target has no crossing."""
    loss = require_even(line.loss)
    ends = line.ends_around(target)
    if ends is None:
        return None
    averages, relative_error = _polished(loss, _coarse_solution(line, ends, target), target)
    alpha = averages.alpha
    if not relative_error < ACCURACY:
        raise ConvergenceError(
            f"the threshold states of {loss!r} near alpha = {alpha:.6g} are known to a relative "
            f"{relative_error:.1e} only, not to {ACCURACY:.0e}"
        )
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


def _coarse_solution(line: ThresholdLine, ends: tuple[Averages, Averages], target: Target) -> Floats:
    """Logarithms of ``chi`` and ``x`` where mismatch and target vanish between two points of the line."""
    lower, upper = sorted(np.log([end.chi for end in ends]))
    for start in (_interpolated(ends, target), np.log([ends[0].chi, ends[0].x])):
        logs, remainder = _approached(line.loss, start, target)
        if lower <= logs[0] <= upper and remainder < _NEARLY_SOLVED:  # otherwise another solution, or none
            return logs
    return _approached(line.loss, _refined(line, ends, target), target)[0]


def _approached(loss: Loss, start: Floats, target: Target) -> tuple[Floats, float]:
    """Logarithms of ``chi`` and ``x`` after few evaluations, and the remaining mismatch or target."""

    @cache  # the solver evaluates its first point several times
    def values(chi: float, x: float) -> Floats:
        averages = averages_at(loss, chi, x, COARSE)
        return np.array([averages.mismatch, target(averages)])

    def residual(shifted: Floats) -> Floats:
        chi, x = np.exp(start + shifted - 1)
        return values(float(chi), float(x))

    # Steps and tolerance of the solver are relative to its unknowns, so they are scaled to start at 1.
    shifted, details, *_ = fsolve(
        residual, np.ones(2), xtol=1e-4, epsfcn=1e-6, maxfev=_EVALUATIONS, full_output=True
    )
    return start + shifted - 1, float(np.abs(details["fvec"]).max())


def _polished(loss: Loss, logs: Floats, target: Target) -> tuple[Averages, float]:
    """Averages at the solution near given logarithms of ``chi`` and ``x``, and its relative error."""

    def evaluate(logs: Floats) -> tuple[Averages, Floats]:
        chi, x = np.exp(logs)
        averages = averages_at(loss, float(chi), float(x))
        alpha = averages.alpha
        return averages, np.array([averages.mismatch, target(averages), alpha, alpha * averages.energy])

    _, values = evaluate(logs)
    shifted = [evaluate(logs + shift)[1] for shift in _DIFFERENCE * np.eye(2)]
    slopes = (np.transpose(shifted) - values[:, None]) / _DIFFERENCE
    inverse = np.linalg.inv(slopes[:2])
    for _ in range(_CORRECTIONS):
        logs = logs - inverse @ values[:2]
        averages, values = evaluate(logs)
        if np.abs(values[:2]).max() < _SOLVED:
            break
    uncertain = np.abs(inverse) @ (np.abs(values[:2]) + 2 * averages.relative_error)
    derived = np.abs(slopes[2:] / values[2:, None]) @ uncertain + 2 * averages.relative_error
    return averages, float(max(*uncertain, *derived))


def _interpolated(ends: tuple[Averages, Averages], target: Target) -> Floats:
    """Logarithms of ``chi`` and ``x`` where the target would vanish if it were linear between two points."""
    here, there = (np.log([end.chi, end.x]) for end in ends)
    share = target(ends[0]) / (target(ends[0]) - target(ends[1]))
    return np.asarray(here + share * (there - here))


def _refined(line: ThresholdLine, ends: tuple[Averages, Averages], target: Target) -> Floats:
    """Logarithms of ``chi`` and ``x`` of the target's zero on the line between two points, to 1e-2."""
    here, there = ends
    found = there

    def along(log_chi: float) -> float:
        nonlocal found
        point = line.at(float(np.exp(log_chi)), there.x)
        if point is None:
            raise ConvergenceError(
                f"the threshold states of {line.loss!r} end near chi = {np.exp(log_chi):.4g}"
            )
        found = point
        return target(point)

    brentq(along, np.log(here.chi), np.log(there.chi), xtol=1e-2)
    return np.log([found.chi, found.x])
