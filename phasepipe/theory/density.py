"""Density of the bulk from the bulk equation, for plots (docs/explanation/physics.md §5).

As in :mod:`phasepipe.theory.resolvent` the unknown is ``u = 1 / g``, but here it is complex. The cost is a
few hundred passes over the sample for each point of the grid (0.4 s for 1000 points at M = 1200).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phasepipe.physics.arguments import require_number, require_reals
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
    given = np.asarray(z)
    if given.dtype.kind not in "fiuc":
        raise TypeError(f"z holds {given.dtype}; give an array of numbers")
    N = require_number("N", N, example=1024, above=0)
    points = given.astype(np.complex128)
    if (points.imag < 0).any():
        raise ValueError("z has points below the real axis; take their complex conjugates")
    T, share = _sample("curvature", curvature), _shares(weights, np.shape(curvature), N)
    if not (np.isfinite(points).all() and np.isfinite(T).all() and np.isfinite(share).all()):
        raise ValueError("z, curvature or weights have entries that are not finite")
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
    y, prediction = _sample("labels", labels), _sample("yhat", yhat)
    if y.shape != prediction.shape:
        raise ValueError(f"labels {y.shape} and yhat {prediction.shape} do not fit; both must be (M,)")
    share = _shares(weights, y.shape, require_number("N", N, example=1024, above=0))
    mu = float((prediction * loss.slope(prediction, y)) @ share)
    T = np.asarray(loss.curvature(prediction, y), dtype=np.float64)
    density: Float64 = (
        -bulk_resolvent(require_reals("eigenvalues", eigenvalues).astype(np.float64) + mu, T, N, weights).imag
        / np.pi
    )
    return np.maximum(density, 0.0)


def _sample(name: str, values: ArrayLike) -> Float64:
    sample = require_reals(name, values).astype(np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"{name} has shape {sample.shape}; it must be (M,), not empty")
    return sample


def _shares(weights: ArrayLike | None, shape: tuple[int, ...], N: float) -> Float64:
    """Weight of each sample divided by N."""
    if weights is None:
        return np.full(shape, 1.0 / N)
    share = require_reals("weights", weights).astype(np.float64) / N
    if share.shape != shape:
        raise ValueError(f"weights has shape {share.shape}; it must be {shape}, one weight a sample")
    return share


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
