"""Edge, outlier and overlap for N to infinity, from four averages.

See docs/explanation/physics.md §5, with expectations instead of sample averages.

With ``R = g T / (1 - g T)`` and the signal component ``s`` of a sample (``s = y`` at zero overlap) the
equations of docs/explanation/physics.md §5 read

* bulk ``z(g) = (1 + alpha E[R]) / g``, edge ``alpha E[R²] = 1``,
* outlier ``alpha E[(s² - 1) R] = 1``, overlap ``q = (1 - alpha E[R²]) / (1 + alpha E[(s² - 1) R²])``.

``E[R²]`` increases monotonically as ``g`` decreases from 0 to ``1 / inf T``, and right of the edge the
outlier equation has at most one root, so that bracketing succeeds or shows that there is no root.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy.optimize import brentq

from phasepipe.theory.quadrature import ConvergenceError, Estimate

ACCURACY = 1e-6
"""Relative accuracy that every threshold is held to."""
Branch = Literal["continuous", "discontinuous"]
_GAPS = (0.5, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
_NEAR_ZERO = 1e-9


@dataclass(frozen=True)
class Response:
    """The four averages at one value of the resolvent variable, all dimensionless."""

    weight: float  # E[R]
    square: float  # E[R²]
    signal: float  # E[(s² - 1) R]
    signal_square: float  # E[(s² - 1) R²]
    error: float  # largest absolute error of the four averages

    @classmethod
    def of(cls, estimate: Estimate) -> Response:
        """Create from averages of ``(R, R², (s² - 1) R, (s² - 1) R²)``, shape (4,)."""
        weight, square, signal, signal_square = (float(value) for value in estimate.value)
        return cls(weight, square, signal, signal_square, float(estimate.error.max()))


ResponseFunction = Callable[[float], Response]


@dataclass(frozen=True)
class Outlier:
    """Left edge of the bulk and the eigenvalue outside it, without subtracting ``mu``."""

    edge: float
    eigenvalue: float  # NaN if no eigenvalue has left the bulk
    overlap: float  # squared overlap of its eigenvector with the signal direction, 0 if there is none
    resolvent_edge: float  # g at the edge
    smooth_edge: bool  # the density vanishes exponentially: g stops at 1 / inf T


def find_outlier(
    response: ResponseFunction, alpha: float, resolvent_floor: float, *, edge: float | None = None
) -> Outlier:
    """Edge, outlier and squared overlap at a signal-to-noise ratio (docs/explanation/physics.md §5).

    Parameters
    ----------
    response
        The averages at ``g`` in ``(resolvent_floor, 0)``.
    alpha
        Measurements per dimension.
    resolvent_floor
        ``1 / inf T``, negative.
    edge
        ``g`` at the edge, if already known.

    Raises
    ------
    ConvergenceError
        If an average does not converge.
    """
    response = cache(response)  # the ends of a bracket and the root are evaluated again
    nearest_zero = resolvent_floor * _NEAR_ZERO
    smooth = False
    resolvent_edge = edge
    if resolvent_edge is None:
        sharp = first_beyond(response, resolvent_floor, lambda averages: alpha * averages.square - 1)
        smooth = sharp is None
        resolvent_edge = resolvent_floor
        if sharp is not None:
            resolvent_edge = find_root(lambda g: alpha * response(g).square - 1, sharp, nearest_zero)
    at_edge = response(resolvent_edge)
    bulk_edge = (1 + alpha * at_edge.weight) / resolvent_edge
    if alpha * at_edge.signal <= 1:
        return Outlier(bulk_edge, np.nan, 0.0, resolvent_edge, smooth)
    resolvent = find_root(lambda g: alpha * response(g).signal - 1, resolvent_edge, nearest_zero)
    at_outlier = response(resolvent)
    overlap = max(0.0, (1 - alpha * at_outlier.square) / (1 + alpha * at_outlier.signal_square))
    eigenvalue = (1 + alpha * at_outlier.weight) / resolvent
    return Outlier(bulk_edge, eigenvalue, overlap, resolvent_edge, smooth)


@dataclass(frozen=True)
class Transition:
    """Transition at which an eigenvalue leaves the bulk."""

    alpha: float  # measurements per dimension
    branch: Branch
    overlap: float  # squared overlap just above: 0 on the continuous branch
    resolvent: float  # g at the transition
    error: float  # estimate of the absolute error of alpha


def find_transition(response: ResponseFunction, resolvent_floor: float) -> Transition:
    """BBP transition: continuous at a sharp edge, discontinuous where the edge is smooth.

    See docs/explanation/physics.md §6.

    Parameters
    ----------
    response, resolvent_floor
        As for :func:`find_outlier`.

    Raises
    ------
    ConvergenceError
        If an average does not converge, there is no transition, or alpha is not found to a relative 1e-6.
    """
    response = cache(response)
    nearest_zero = resolvent_floor * 1e-6
    if response(nearest_zero).signal <= 0:
        raise ConvergenceError(
            "no eigenvalue leaves the bulk on the side of the signal; check the sign of the weight"
        )

    def excess(averages: Response) -> float:
        return averages.square - averages.signal

    beyond = first_beyond(response, resolvent_floor, excess)
    if beyond is None:
        averages = response(resolvent_floor)
        alpha = 1 / averages.signal
        error = alpha**2 * averages.error
        overlap = (1 - alpha * averages.square) / (1 + alpha * averages.signal_square)
        transition = Transition(alpha, "discontinuous", overlap, resolvent_floor, error)
    else:
        resolvent = find_root(lambda g: excess(response(g)), beyond, nearest_zero)
        averages, shifted = response(resolvent), response(resolvent * (1 - 1e-4))
        alpha = 1 / averages.square
        amplification = (averages.square - shifted.square) / (excess(averages) - excess(shifted))
        error = alpha**2 * averages.error * (1 + 2 * abs(amplification))
        transition = Transition(alpha, "continuous", 0.0, resolvent, error)
    if not error < ACCURACY * alpha:
        raise ConvergenceError(
            f"the transition near alpha = {alpha:.6g} is known to {error:.1e} only, not to 1e-6"
        )
    return transition


def first_beyond(
    response: ResponseFunction, resolvent_floor: float, criterion: Callable[[Response], float]
) -> float | None:
    """Return a ``g`` near the floor at which the criterion is positive, or None if there is none.

    The floor is approached geometrically because the averages may diverge there; it is evaluated last.
    """
    for gap in (*_GAPS, 0.0):
        resolvent = resolvent_floor * (1 - gap)
        if criterion(response(resolvent)) > 0:
            return resolvent
    return None


def find_root(function: Callable[[float], float], lower: float, upper: float) -> float:
    """Root in a bracket, close to machine accuracy.

    Raises
    ------
    ConvergenceError
        If the function does not change sign.
    """
    try:
        return float(brentq(function, lower, upper, xtol=1e-14 * abs(lower), rtol=1e-13))
    except ValueError as error:
        raise ConvergenceError(f"no root between {lower:.6g} and {upper:.6g}: {error}") from error
