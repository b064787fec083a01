"""Density of the bulk from the bulk equation, for plots (docs/explanation/physics.md §5).

As in :mod:`phasepipe.theory.resolvent` the unknown is ``u = 1 / g``, but here it is complex. The cost is a
few hundred passes over the sample for each point of the grid (0.4 s for 1000 points at M = 1200).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phasepipe.physics.losses import Loss, require_loss

Float64 = NDArray[np.float64]
Complex128 = NDArray[np.complex128]

CHUNK = 1 << 15  # products of points and samples that are processed at a time, to stay in the cache
HEIGHTS = 4.0 ** -np.arange(
    1.0, 17.0
)  # imaginary parts on the path to the real axis, in units of the spectrum
NEWTON_STEPS = 12


def bulk_resolvent(
    z: ArrayLike, curvature: ArrayLike, N: float, weights: ArrayLike | None = None
) -> Complex128:
    """Resolvent ``g(z) = <1 / (z - lambda)>`` of ``(1/N) X^T diag(T) X`` from the bulk equation.

    See docs/explanation/physics.md §5.

    Parameters
    ----------
    z
        Points in the closed upper half-plane, any shape; real points are approached from above.
    curvature
        Sample of ``T``, shape (M,).
    N, weights
        As for :func:`phasepipe.theory.resolvent.predict`.

    Returns
    -------
    Shape of ``z``, complex, ``Im g <= 0``.

    Raises
    ------
    ValueError
        If a point lies below the real axis.
    """
    points = np.asarray(z, dtype=np.complex128)
    if (points.imag < 0).any():
        raise ValueError("z has points below the real axis; take their complex conjugates")
    T = np.asarray(curvature, dtype=np.float64)
    share = np.full(T.shape, 1.0 / N) if weights is None else np.asarray(weights, dtype=np.float64) / N
    flat = points.reshape(-1)
    step = max(1, CHUNK // T.size)
    roots = [_descend(flat[first : first + step], T, share) for first in range(0, flat.size, step)]
    values: Complex128 = 1 / np.concatenate(roots).reshape(points.shape)
    return values


def bulk_density(
    eigenvalues: ArrayLike,
    labels: ArrayLike,
    yhat: ArrayLike,
    loss: Loss,
    N: float,
    weights: ArrayLike | None = None,
) -> Float64:
    """Predicted density of the eigenvalues (``mu`` subtracted), from labels and predictions.

    See docs/explanation/physics.md §4 and §5.

    Parameters
    ----------
    eigenvalues
        Points of evaluation, any shape.
    labels, yhat
        Shape (M,).

    Returns
    -------
    Shape of ``eigenvalues``. The integral is 1, minus the share ``1 - alpha P(T != 0)`` of zero modes (at
    ``-mu``) if that is positive.
    """
    require_loss(loss)
    y, prediction = np.asarray(labels, dtype=np.float64), np.asarray(yhat, dtype=np.float64)
    share = np.full(prediction.shape, 1.0 / N) if weights is None else np.asarray(weights, np.float64) / N
    mu = float((prediction * loss.slope(prediction, y)) @ share)
    T = np.asarray(loss.curvature(prediction, y), dtype=np.float64)
    density: Float64 = -bulk_resolvent(np.asarray(eigenvalues, np.float64) + mu, T, N, weights).imag / np.pi
    return np.maximum(density, 0.0)


def _descend(z: Complex128, T: Float64, share: Float64) -> Complex128:
    """``u = 1 / g`` at each ``z`` (P,): follow the root from far above the real axis down to it.

    In the upper half-plane ``u = z - [T u / (u - T)]`` has one solution there and maps the half-plane into
    itself; a Newton step that leaves it is replaced by that map, which contracts.
    """
    size = float(np.abs(T).max() * (1 + share.sum()) + np.abs(z).max())
    u = z + 1j * size
    for height in [*(size * HEIGHTS), 0.0]:
        target = z + 1j * height
        for _ in range(NEWTON_STEPS):
            ratio = T / (u[:, None] - T)
            moved = target - u * (ratio @ share)  # contracting map
            newton = u + (moved - u) / (1 - np.square(ratio) @ share)
            step = np.where((newton.imag > 0) & np.isfinite(newton), newton, moved)
            change = np.abs(step - u)
            u = step
            if (change <= 1e-10 * np.abs(u)).all():
                break
    return u
