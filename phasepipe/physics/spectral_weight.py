"""The weight of spectral starts (docs/explanation/physics.md §9)."""

from __future__ import annotations

from phasepipe.physics.losses import Array

SPECTRAL_REGULARISATION = 0.01  # bounds the weight by -100; the overlap is within 0.1 % of the optimal one


def optimal_weight(y: Array, regularisation: float = 0.0) -> Array:
    """Weight ``f(y) = 1 - (1 + r) / (y² + r)``; ``r = 0`` is the optimal ``1 - 1 / y²``.

    See docs/explanation/physics.md §9.

    A positive ``r`` bounds the weight below by ``-1 / r``; ``r = sqrt(2 alpha) - 1`` is the choice of
    Mondelli & Montanari, arXiv:1708.05932.

    Parameters
    ----------
    y
        Labels, any shape.
    regularisation
        ``r``, at least 0.
    """
    weight: Array = 1 - (1 + regularisation) / (y * y + regularisation)
    return weight
