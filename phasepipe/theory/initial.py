"""BBP transition of the Hessian at a random start for N to infinity (docs/explanation/physics.md §6).

At a random start ``y`` and ``yhat`` are independent standard Gaussians, so that edge, outlier and overlap
follow from two-dimensional Gaussian averages. Above ``alpha_init`` the lowest eigenvector has an overlap with
the signal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phasepipe.physics.losses import Loss, NormalisedQuartic
from phasepipe.theory.population import Response, ResponseFunction, Transition, find_outlier, find_transition
from phasepipe.theory.quadrature import Floats, gaussian_plane_average
from phasepipe.theory.requirements import lowest_curvature, require_alpha, require_even

_SMALLEST_A, _LARGEST_A = 1e-12, 1e4  # for larger a the curvature is numerically unbounded


@dataclass(frozen=True)
class InitialSpectrum:
    """Hessian at a random start, ``mu`` subtracted as in docs/explanation/physics.md §4."""

    alpha: float
    mu: float  # Lagrange multiplier, docs/explanation/physics.md §3
    edge: float  # left edge of the bulk
    outlier: float  # lowest eigenvalue if it has left the bulk, otherwise NaN
    overlap: float  # squared overlap of its eigenvector with the signal direction, otherwise 0
    smooth_edge: bool  # the density vanishes exponentially at the edge


def initial_transition(loss: Loss) -> Transition:
    """BBP transition at a random start, with its branch (docs/explanation/physics.md §6).

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
    loss = _require_in_range(loss)
    floor = 1 / lowest_curvature(loss)
    return find_transition(initial_response(loss), floor)


def alpha_init(loss: Loss) -> float:
    """Smallest alpha at which the lowest eigenvector of the Hessian at a random start points to the signal.

    See docs/explanation/physics.md §6.

    See :func:`initial_transition` for the branch, the error and the exceptions.
    """
    return initial_transition(loss).alpha


def initial_spectrum(loss: Loss, alpha: float) -> InitialSpectrum:
    """Edge, outlier and squared overlap of the Hessian at a random start for N to infinity.

    See docs/explanation/physics.md §5 and §6.

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
    alpha = require_alpha(alpha)
    loss = _require_in_range(loss)
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


def _require_in_range(loss: Loss) -> Loss:
    """Return ``loss`` if the averages at a random start can be computed for it."""
    loss = require_even(loss)
    if isinstance(loss, NormalisedQuartic) and not _SMALLEST_A <= loss.a <= _LARGEST_A:
        raise ValueError(
            f"a = {loss.a:g} lies outside [{_SMALLEST_A:g}, {_LARGEST_A:g}], where the averages at a random "
            "start are computed; alpha_init tends to 3 for small a and grows as (a + 3) / 2 for large a"
        )
    return loss


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
