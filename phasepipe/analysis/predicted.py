"""Success probability at finite N, predicted without a fit from the dynamics for N to infinity.

At a given alpha and time budget the prediction depends on one number, the dimension ``N_half`` at which half
of the random starts recover: ``P(N) = 2 Phi(-Phi^-1(3/4) sqrt(N / N_half))``, see
docs/explanation/dynamics.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

Float = NDArray[np.float64]

_QUARTILE = norm.ppf(0.75)


def half_size(critical_overlap: ArrayLike, start_variance: ArrayLike) -> Float:
    """Dimension at which half of the random starts recover.

    Parameters
    ----------
    critical_overlap
        Initial overlap ``m_c`` that just recovers within the budget, any shape.
    start_variance
        ``S``: a random start acts like a Gaussian initial overlap of variance ``S / N``; broadcast with
        ``critical_overlap``.
    """
    ratio = np.asarray(start_variance, float) / np.asarray(critical_overlap, float) ** 2
    return np.asarray(_QUARTILE**2 * ratio)


def predicted_success(N: ArrayLike, half: ArrayLike) -> Float:
    """P(recovery) at dimension ``N``, with ``half`` from :func:`half_size`; broadcast, NaN where unknown."""
    return np.asarray(2 * norm.sf(_QUARTILE * np.sqrt(np.asarray(N, float) / np.asarray(half, float))))


def predicted_alpha_50(N: ArrayLike, alpha: ArrayLike, half: ArrayLike) -> Float:
    """Alpha at which half of the random starts recover, interpolated between predicted alphas.

    Parameters
    ----------
    N
        Dimensions, any shape.
    alpha, half
        Signal-to-noise ratios, ascending, and :func:`half_size` at each, shape (alpha,); NaN is ignored.

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
