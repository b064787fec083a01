"""Proximal map of a loss: the prediction that minimises the sum of loss and quadratic cost.

See docs/explanation/physics.md §7.

``yhat(h, y) = argmin [ l(yhat, y) + (yhat - h)² / (2 chi) ]`` is the global minimum. For quartic losses it is
the root of a cubic; any other loss is minimised on a grid, followed by safeguarded Newton steps.
"""

from __future__ import annotations

import numpy as np

from phasepipe.physics.arguments import require_number, require_reals
from phasepipe.physics.losses import Loss, NormalisedQuartic, Quartic, require_loss
from phasepipe.theory.quadrature import Floats

_GRID = 129
_STEPS = 80


def proximal_map(loss: Loss, h: Floats, y: Floats, chi: float) -> Floats:
    """Global minimiser of ``l(yhat, y) + (yhat - h)² / (2 chi)``, shape of ``h`` and ``y`` broadcast.

    The result has the sign of ``h``; at ``h = 0`` it is the limit from above.

    Parameters
    ----------
    loss
        Loss that is even in both arguments and minimal at ``|yhat| = |y|``.
    h, y
        Centre of the quadratic cost, and label; broadcast against each other.
    chi
        Stiffness of the quadratic cost, positive, in units of 1 / curvature.
    """
    chi = require_number("chi", chi, example=1.0, above=0)
    require_loss(loss)
    h, y = require_reals("h", h).astype(float), np.abs(require_reals("y", y).astype(float))
    h, y = np.broadcast_arrays(h, y)
    size = np.abs(h)
    if isinstance(loss, NormalisedQuartic):
        prediction = _largest_root_of_cubic(chi / (loss.a + y * y), size, y)
    elif isinstance(loss, Quartic):
        prediction = _largest_root_of_cubic(np.full_like(y, chi), size, y)
    else:
        prediction = _minimise(loss, size.ravel(), y.ravel(), chi).reshape(h.shape)
    return np.where(h < 0, -prediction, prediction)


def _largest_root_of_cubic(strength: Floats, h: Floats, y: Floats) -> Floats:
    """Largest real root of ``yhat + strength yhat (yhat² - y²) = h``: the global minimum for ``h >= 0``."""
    p = 1 / strength - y * y
    q = h / strength
    radius = np.maximum(2 * np.sqrt(np.abs(p) / 3), 1e-90)
    argument = 4 * q / radius**3
    trigonometric = np.cos(np.arccos(np.minimum(argument, 1)) / 3)
    hyperbolic = np.cosh(np.arccosh(np.maximum(argument, 1)) / 3)
    single = np.sinh(np.arcsinh(argument) / 3)
    root: Floats = radius * np.where(p >= 0, single, np.where(argument <= 1, trigonometric, hyperbolic))
    for _ in range(2):  # the closed form loses digits if p is small compared with q
        slope = 3 * root**2 + p
        correction = np.divide(root**3 + p * root - q, slope, out=np.zeros_like(root), where=slope > 0)
        root = np.maximum(root - correction, 0.0)
    return root


def _minimise(loss: Loss, h: Floats, y: Floats, chi: float) -> Floats:
    """Global minimum for ``h >= 0`` and ``y >= 0``, shape (n,); it lies between ``h`` and ``y``."""
    low, high = np.minimum(h, y)[:, None], np.maximum(h, y)[:, None]
    fraction = np.linspace(0, 1, _GRID)
    grid = low + (high - low) * fraction**2  # graded: at h = 0 minima emerge from 0
    centre = h[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        cost = loss.value(grid, np.broadcast_to(y[:, None], grid.shape)) + (grid - centre) ** 2 / (2 * chi)
    best = np.argmin(cost, axis=1)
    rows = np.arange(h.size)
    left, right = grid[rows, np.maximum(best - 1, 0)], grid[rows, np.minimum(best + 1, _GRID - 1)]
    # The derivative is taken to be negative at the left end and positive at the right one; at h = 0 the point
    # 0 is stationary, and a minimum only if the curvature is positive there.
    stays = (left == 0) & (h == 0) & (1 + chi * loss.curvature(np.zeros_like(y), y) >= 0)
    root = 0.5 * (left + right)
    for _ in range(_STEPS):
        derivative = root + chi * loss.slope(root, y) - h
        left, right = np.where(derivative < 0, root, left), np.where(derivative < 0, right, root)
        convexity = 1 + chi * loss.curvature(root, y)
        newton = root - np.divide(derivative, convexity, out=np.full_like(root, np.nan), where=convexity > 0)
        inside = (newton > left) & (newton < right)
        proposal = np.where(inside, newton, 0.5 * (left + right))
        moved = np.abs(proposal - root)
        root = proposal
        if np.all(moved <= 1e-15 * np.abs(root)):
            break
    return np.where(stays & (best == 0), 0.0, root)
