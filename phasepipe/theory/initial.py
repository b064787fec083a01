"""BBP transition of the Hessian at a random start for N to infinity (PHYSICS §6).

There ``y`` and ``yhat`` are independent standard Gaussians, so that edge, outlier and overlap follow from
two-dimensional Gaussian averages. Above ``alpha_init`` the lowest eigenvector points to the signal from the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from phasepipe.physics.losses import Loss
from phasepipe.theory.population import (
    Response,
    ResponseFunction,
    find_outlier,
    find_root,
    first_beyond,
)
from phasepipe.theory.quadrature import ConvergenceError, Floats, gaussian_plane_average
from phasepipe.theory.requirements import ACCURACY, lowest_curvature, require_even

Branch = Literal["continuous", "discontinuous"]


@dataclass(frozen=True)
class InitialTransition:
    """Where the outlier appears at a random start."""

    alpha: float  # measurements per dimension
    branch: Branch  # whether its overlap starts from 0 (sharp edge) or from a finite value (smooth edge)
    resolvent: float  # g at the transition, in units of 1 / curvature
    error: float  # estimate of the absolute error of alpha


@dataclass(frozen=True)
class InitialSpectrum:
    """Hessian at a random start, ``mu`` subtracted as in PHYSICS §4."""

    alpha: float
    mu: float  # Lagrange multiplier, PHYSICS §3
    edge: float  # left edge of the bulk
    outlier: float  # lowest eigenvalue where it has left the bulk, else NaN
    overlap: float  # squared overlap of its eigenvector with the signal direction, else 0
    smooth_edge: bool  # the density vanishes exponentially at the edge


def initial_transition(loss: Loss) -> InitialTransition:
    """BBP transition at a random start, with its branch (PHYSICS §6).

    Parameters
    ----------
    loss
        Any loss, even in ``yhat`` and ``y``, whose curvature is bounded below.

    Raises
    ------
    ValueError
        If the loss is not even or its curvature is unbounded below.
    ConvergenceError
        If the averages do not converge, or alpha is not found to a relative 1e-6.
    """
    loss = require_even(loss)
    floor = 1 / lowest_curvature(loss)
    response = initial_response(loss)
    if response(1e-6 * floor).signal <= 0:
        raise ConvergenceError(
            f"the curvature of {loss!r} does not decrease with y², so that no outlier leaves the bulk on the left at "
            "a random start; alpha_init does not exist for it"
        )

    def excess(averages: Response) -> float:
        return averages.square - averages.signal

    beyond = first_beyond(response, floor, excess)
    if beyond is None:
        averages = response(floor)
        alpha = 1 / averages.signal
        error = alpha**2 * averages.error
        branch: Branch = "discontinuous"
        resolvent = floor
    else:
        resolvent = find_root(lambda g: excess(response(g)), beyond, 1e-6 * floor)
        alpha = 1 / response(resolvent).square
        step = 1e-4 * resolvent
        left, right = response(resolvent + step), response(resolvent - step)
        slope = (excess(left) - excess(right)) / (left.square - right.square)
        averages = response(resolvent)
        error = alpha**2 * averages.error * (1 + 2 / abs(slope))
        branch = "continuous"
    if not error < ACCURACY * alpha:
        raise ConvergenceError(
            f"alpha_init = {alpha:.6g} of {loss!r} is known to {error:.1e} only, not to 1e-6"
        )
    return InitialTransition(alpha, branch, resolvent, error)


def alpha_init(loss: Loss) -> float:
    """Smallest alpha at which the Hessian at a random start points to the signal (PHYSICS §6).

    See :func:`initial_transition` for the branch, the error and the exceptions.
    """
    return initial_transition(loss).alpha


def initial_spectrum(loss: Loss, alpha: float) -> InitialSpectrum:
    """Edge, outlier and squared overlap of the Hessian at a random start for N to infinity (PHYSICS §5, §6).

    Parameters
    ----------
    loss
        As for :func:`initial_transition`.
    alpha
        Measurements per dimension, positive.

    Raises
    ------
    ValueError
        If alpha is not positive, the loss is not even or its curvature is unbounded below.
    ConvergenceError
        If an average does not converge.
    """
    if not (np.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha = {alpha!r} is not a positive finite number of measurements per dimension")
    loss = require_even(loss)
    found = find_outlier(initial_response(loss), alpha, 1 / lowest_curvature(loss))
    force = gaussian_plane_average(lambda yhat, y: (yhat * loss.slope(yhat, y))[None])
    mu = alpha * float(force.value[0])
    return InitialSpectrum(
        alpha=alpha,
        mu=mu,
        edge=found.edge - mu,
        outlier=found.eigenvalue - mu,
        overlap=found.overlap,
        smooth_edge=found.smooth_edge,
    )


def initial_response(loss: Loss) -> ResponseFunction:
    """Return the averages of :class:`Response` at a random start, as a function of ``g``."""

    def response(resolvent: float) -> Response:
        def averaged(yhat: Floats, y: Floats) -> Floats:
            scaled = resolvent * loss.curvature(yhat, y)
            ratio = scaled / (1 - scaled)
            signal = y * y - 1
            return np.stack([ratio, ratio**2, signal * ratio, signal * ratio**2])

        return Response.of(gaussian_plane_average(averaged))

    return response
