"""Interpolation of the predicted size at which half of the random starts recover, between some alphas."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Float = NDArray[np.float64]


def half_size_between(at: ArrayLike, alpha: ArrayLike, half: ArrayLike) -> Float:
    """Dimension at which half of the starts recover, at alphas between those that were predicted.

    Parameters
    ----------
    at
        Signal-to-noise ratios, any shape.
    alpha, half
        As for :func:`predicted_alpha_50`.

    Returns
    -------
    Shape of ``at``; NaN outside the known alphas (no extrapolation).
    """
    alphas, halves = np.asarray(alpha, float), np.asarray(half, float)
    known = np.isfinite(halves) & (halves > 0)
    if known.sum() < 2:
        return np.full(np.shape(at), np.nan)
    curve = PchipInterpolator(alphas[known], np.log(halves[known]), extrapolate=False)
    return np.asarray(np.exp(curve(np.asarray(at, float))))


def predicted_alpha_50(N: ArrayLike, alpha: ArrayLike, half: ArrayLike) -> Float:
    """Alpha at which half of the random starts recover, interpolated between predicted alphas.

    Parameters
    ----------
    N
        Dimensions, any shape.
    alpha, half
        Signal-to-noise ratios, ascending, and the dimension at which half of the starts recover at each,
        shape (alpha,); NaN is ignored.

    Returns
    -------
    Shape of ``N``; NaN outside the range of ``half`` (no extrapolation).
    """
    alphas, halves = np.asarray(alpha, float), np.asarray(half, float)
    sizes = np.log(np.asarray(N, float))
    known = np.isfinite(halves) & (halves > 0)
    alphas, logs = alphas[known], np.log(halves[known])
    # N_half grows with alpha, but noise may violate this between close neighbours
    rising = np.maximum.accumulate(logs)
    kept = np.diff(rising, prepend=-np.inf) > 0
    if kept.sum() < 2:
        return np.full(sizes.shape, np.nan)
    inverse = PchipInterpolator(rising[kept], alphas[kept], extrapolate=False)
    return np.asarray(inverse(sizes))
