"""Spectral start for N to infinity: its overlap with the signal and its transition.

See docs/explanation/physics.md §9 and §10.

The start is the top eigenvector of ``sum_i f(y_i) x_i x_i^T`` (Lu & Li, arXiv:1702.06435; Mondelli &
Montanari, arXiv:1708.05932). With ``T = -f`` it is the lowest eigenvector of the matrix of
docs/explanation/physics.md §5, so that the same equations apply.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phasepipe.theory.population import (
    Outlier,
    Response,
    ResponseFunction,
    Transition,
    find_outlier,
    find_transition,
)
from phasepipe.theory.quadrature import Floats, gaussian_average
from phasepipe.theory.requirements import require_alpha

Weight = Callable[[Floats], Floats]
"""Preprocessing of the labels, even: maps ``y``, shape (n,), to ``f(y)``, shape (n,)."""

YARDSTICKS = {
    "weak_recovery": 0.5,
    "information_theoretic": 1.0,
    "approximate_message_passing": 1.128,
}
"""Measurements per dimension at which others succeed, real Gaussian case without noise.

See docs/explanation/physics.md §10.
"""


def spectral_start(weight: Weight, alpha: float) -> Outlier:
    """Spectrum of the matrix of the spectral start for N to infinity.

    Parameters
    ----------
    weight
        Preprocessing of the labels, even and bounded above.
    alpha
        Measurements per dimension, positive.

    Returns
    -------
    Outlier
        ``overlap`` is the squared overlap of the start with the signal, 0 below the transition. ``edge`` and
        ``eigenvalue`` are those of ``-(1/N) sum_i f(y_i) x_i x_i^T``.

    Raises
    ------
    ValueError
        If alpha is not positive or the weight is not bounded above.
    ConvergenceError
        If an average does not converge.
    """
    alpha = require_alpha(alpha)
    return find_outlier(_response(weight), alpha, -1 / _highest(weight))


def spectral_transition(weight: Weight) -> Transition:
    """Smallest alpha at which the spectral start has an overlap with the signal.

    Raises
    ------
    ValueError
        If the weight is not bounded above.
    ConvergenceError
        If there is no transition or it is not found to a relative 1e-6.
    """
    return find_transition(_response(weight), -1 / _highest(weight))


def _response(weight: Weight) -> ResponseFunction:
    def response(resolvent: float) -> Response:
        def averaged(y: Floats) -> Floats:
            scaled = -resolvent * weight(y)
            ratio = scaled / (1 - scaled)
            signal = y * y - 1
            return np.stack([ratio, ratio**2, signal * ratio, signal * ratio**2])

        return Response.of(gaussian_average(averaged))

    return response


def _highest(weight: Weight) -> float:
    """Supremum of the weight; it may be approached at infinity."""
    near = weight(np.concatenate([np.geomspace(1e-7, 1e-2, 200), np.linspace(1e-2, 10, 20001)])).max()
    highest = float(max(near, weight(np.geomspace(10, 1e7, 200)).max()))
    if not (np.isfinite(highest) and 0 < highest < 1e3 * max(near, 1e-12)):
        raise ValueError(
            f"the weight of the spectral start has the supremum {highest:.3g}; it must be positive and "
            "bounded above, as the optimal weight 1 - 1 / y² is"
        )
    return highest
