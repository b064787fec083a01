"""Edge, signal outlier and its overlap, predicted from labels and predictions only.

See docs/explanation/physics.md §5.

The code uses the inverse ``u = 1 / g`` of the resolvent variable. In this variable every average is a sum of
simple poles at the curvatures ``T``, and the left edge is the root of a concave function, for which Newton's
method converges monotonically. With ``[f] = alpha <f> = (1/N) sum_i f_i``:

* bulk ``z(u) = u + [T + T² / (u - T)]``, edge ``E(u) = [T² / (u - T)²] = 1``,
* outlier ``S(u) = [(y_e² - 1) T / (u - T)] = 1`` for ``u < u_edge``; it exists if ``S(u_edge) > 1``,
* overlap ``q = (1 - E) / (1 - E + Y)`` with ``Y = [y_e² T² / (u - T)²]``.

Smooth edge: in a finite sample the smallest ``T`` always adds a pole, which can create a root that does not
exist for an infinite sample. Therefore the edge counts as smooth if ``E < 1`` at ``u = min T`` *without* that
one sample, and this sample is then omitted from every average. (The direction of this sample has its outlier
at ``z(min T)``, the predicted lowest eigenvalue of the finite problem.)
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phasepipe.physics.arguments import require_number, require_reals
from phasepipe.physics.compiled import compiled
from phasepipe.physics.losses import Loss, require_loss

Float64 = NDArray[np.float64]

CHUNK = 1 << 15  # samples processed at a time: four arrays of this size fit into a 2 MB cache
ITERATIONS = 60
RESOLUTION = 1e-13  # relative accuracy of u
TINY = 1e-300


@dataclass(frozen=True)
class Prediction:
    """Spectrum predicted from labels; every array has shape (...), one entry per run and time.

    See docs/explanation/physics.md §5.

    ``mu`` is subtracted from ``edge`` and ``outlier``, as for the eigenvalues of docs/explanation/physics.md
    §4; add ``mu`` for those of ``(1/N) X^T diag(T) X``. Values are NaN if there is no outlier, or if an input
    was not finite.

    Attributes
    ----------
    edge
        Left edge of the bulk.
    outlier, outlier_overlap
        Signal outlier and its squared overlap with the tangent signal direction; NaN where none exists.
    bbp_margin
        ``S(u_edge) - 1``: positive if the outlier exists, and continuous through zero at the transition;
        NaN at overlap ±1, where there is no tangent signal direction.
    edge_is_smooth
        Whether the density vanishes exponentially at the edge (bool).
    g_edge, g_outlier
        Resolvent variable at both, negative.
    mu
        Lagrange multiplier ``(1/N) sum yhat l'``.
    """

    edge: Float64
    outlier: Float64
    outlier_overlap: Float64
    bbp_margin: Float64
    edge_is_smooth: NDArray[np.bool_]
    g_edge: Float64
    g_outlier: Float64
    mu: Float64


def predict(
    labels: ArrayLike,
    yhat: ArrayLike,
    overlap: ArrayLike,
    loss: Loss,
    N: float,
    weights: ArrayLike | None = None,
) -> Prediction:
    """Predict edge and outlier of the Hessian from labels, predictions and overlap.

    See docs/explanation/physics.md §5.

    For N to infinity, outlier and squared overlap are exact while the point is independent of the sensing
    matrix in the direction of the signal: at a random start, and as long as ``m = 0``. If ``m`` is of order
    one, they are approximate: at N = 1200, a = 1, m = 0.82 the outlier is predicted at -0.421(9) and measured
    at -0.377(10); the squared overlap is 0.353(7) and 0.274(13). The bulk and its edge are not affected.

    Parameters
    ----------
    labels, yhat
        ``y`` and predictions, shapes (..., M) that broadcast together. Any floating dtype; the
        arithmetic is float64.
    overlap
        Overlap ``m``, shape (...); its sign matters, because ``y = m yhat + sqrt(1 - m²) y_e``.
    loss
        Loss with ``slope`` and ``curvature``.
    N
        Dimension; ``alpha = M / N``.
    weights
        Number of measurements that each sample represents, shape (M,); default one each. For a
        distribution with quadrature weights ``p``, use ``alpha * N * p`` with a large N.

    Raises
    ------
    ValueError
        If the shapes do not fit or N is not positive.
    """
    require_loss(loss)
    y, prediction = require_reals("labels", labels), require_reals("yhat", yhat)
    m = require_reals("overlap", overlap).astype(np.float64)
    N = require_number("N", N, example=1024, above=0)
    try:
        shape = np.broadcast_shapes(y.shape, prediction.shape)
        np.broadcast_to(m, shape[:-1])
    except ValueError as problem:
        raise ValueError(
            f"labels {y.shape}, yhat {prediction.shape} and overlap {m.shape} do not fit; "
            "they must broadcast to (..., M), (..., M) and (...)"
        ) from problem
    if len(shape) == 0 or shape[-1] == 0:
        raise ValueError("labels and yhat hold no sample; their last dimension is the M measurements")
    M, runs = shape[-1], shape[:-1]
    share = (
        np.full(M, 1.0 / N) if weights is None else require_reals("weights", weights).astype(np.float64) / N
    )
    if share.shape != (M,):
        raise ValueError(f"weights has shape {share.shape}; it must be ({M},), one weight a sample")

    rows_y = np.broadcast_to(y, shape).reshape(-1, M) if y.ndim > 1 else y.reshape(1, M)
    rows_yhat = np.broadcast_to(prediction, shape).reshape(-1, M)
    rows_m = np.broadcast_to(m, runs).reshape(-1)
    step = max(1, CHUNK // M)
    pieces = []
    for first in range(0, max(1, len(rows_yhat)), step):  # once also for no runs
        chunk = slice(first, first + step)
        chunk_y = np.asarray(rows_y if len(rows_y) == 1 else rows_y[chunk], dtype=np.float64)
        chunk_yhat = np.asarray(rows_yhat[chunk], dtype=np.float64)
        with np.errstate(all="ignore"):  # rows with NaN, or without an outlier, give NaN
            pieces.append(_predict_rows(chunk_y, chunk_yhat, rows_m[chunk], loss, share, 1.0 / N))
    joined = {
        field.name: np.concatenate([getattr(piece, field.name) for piece in pieces]).reshape(runs)
        for field in fields(Prediction)
    }
    return Prediction(**joined)


def _predict_rows(
    y: Float64, yhat: Float64, m: Float64, loss: Loss, share: Float64, one_measurement: float
) -> Prediction:
    """The same for rows (R, M); ``share`` (M,) is the weight of each sample divided by N."""
    T = np.array(loss.curvature(yhat, y), dtype=np.float64, order="C")
    weighted = np.ascontiguousarray(yhat * loss.slope(yhat, y), dtype=np.float64) * share
    tangent_variance = 1 - m * m
    signal = np.where(tangent_variance > 0, tangent_variance, np.nan)[:, None]
    y_e2 = np.ascontiguousarray((y - m[:, None] * yhat) ** 2 / signal)
    found = np.full((len(T), 7), np.nan)
    smooth = np.zeros(len(T), bool)
    _solve_rows(T, y_e2, weighted, share, one_measurement, found, smooth)
    edge, outlier, overlap, margin, g_edge, g_outlier, mu = found.T.copy()
    return Prediction(edge, outlier, overlap, margin, smooth, g_edge, g_outlier, mu)


@compiled
def _solve_rows(
    T: Float64,
    y_e2: Float64,
    weighted: Float64,
    share: Float64,
    one_measurement: float,
    found: Float64,
    smooth: NDArray[np.bool_],
) -> None:
    """Fill ``found`` (R, 7) and ``smooth`` (R,) row by row; overwrites ``T`` and ``weighted``."""
    M = T.shape[1]
    scratch, more = np.empty(M), np.empty(M)
    for row in range(len(T)):
        curvature, result = T[row], found[row]
        mu = _total(weighted[row], M)
        u, smooth[row] = _edge(curvature, share, one_measurement, scratch, more)
        result[0] = _bulk(u, curvature, share, scratch) - mu
        result[4], result[6] = 1 / u, mu
        for i in range(M):
            weighted[row, i] = (y_e2[row, i] - 1) * curvature[i] * share[i]
        result[3], u = _outlier(curvature, weighted[row], u, scratch, more)
        if not np.isfinite(u):
            continue
        for i in range(M):
            ratio = curvature[i] / (u - curvature[i])
            scratch[i] = ratio * ratio * share[i]
            more[i] = scratch[i] * y_e2[row, i]
        gap = 1 - _total(scratch, M)
        result[1] = _bulk(u, curvature, share, scratch) - mu
        result[2] = gap / (gap + _total(more, M))
        result[5] = 1 / u


@compiled
def _total(values: Float64, count: int) -> float:
    """Sum of the first ``count`` values, in an order that no processor changes; they are overwritten."""
    while count > 1:
        half = (count + 1) // 2
        for i in range(count - half):
            values[i] += values[half + i]
        count = half
    return float(values[0])


@compiled
def _bulk(u: float, T: Float64, share: Float64, scratch: Float64) -> float:
    """``z(u) = u (1 + [T / (u - T)])``."""
    for i in range(len(T)):
        scratch[i] = T[i] / (u - T[i]) * share[i]
    return u * (1 + _total(scratch, len(T)))


@compiled
def _edge(
    T: Float64, share: Float64, one_measurement: float, scratch: Float64, more: Float64
) -> tuple[float, bool]:
    """``u_edge`` and whether it is smooth; then the sample that bounds it is removed from ``T``."""
    M, lowest, lowest_share = len(T), T[0], 0.0
    for i in range(M):
        if not np.isfinite(T[i]):
            return np.nan, False
        lowest = min(lowest, T[i])
    for i in range(M):
        if T[i] == lowest:
            lowest_share += share[i]
    # a curvature shared by several measurements is an atom of the distribution, and its pole is kept
    if lowest < 0 and lowest_share <= 1.5 * one_measurement:
        for i in range(M):
            ratio = T[i] / (lowest - T[i]) if T[i] != lowest else 0.0
            scratch[i] = ratio * ratio * share[i]
        if _total(scratch, M) < 1:
            for i in range(M):
                if T[i] == lowest:
                    T[i] = 0.0  # removes a sample from every average
            return lowest - TINY, True

    # E^(-1/2) is a power mean of the distances T - u: concave and decreasing in u. Newton's method converges
    # monotonically from any point right of the root, and the pole at min T alone gives such a point.
    reach = max(np.sqrt(lowest_share), 1e-9)  # weights of a distribution may underflow
    u = lowest - TINY if lowest == 0 else lowest - abs(lowest) * reach
    for _ in range(ITERATIONS):
        for i in range(M):
            inverse = 1 / (u - T[i])
            term = T[i] * inverse
            scratch[i] = term * term * share[i]
            more[i] = scratch[i] * inverse
        E = _total(scratch, M)
        change = max((E - E * np.sqrt(E)) / _total(more, M), 0.0)
        u -= change
        if not change > RESOLUTION * abs(u):
            break
    return min(u, 0.0), False  # right of 0 lies the kernel of a matrix of low rank, at z = 0


@compiled
def _outlier(
    T: Float64, residues: Float64, u_edge: float, scratch: Float64, more: Float64
) -> tuple[float, float]:
    """``S(u_edge) - 1`` and the root of ``S(u) = sum_i residue_i / (u - T_i) = 1``, NaN without one.

    ``z(u) - [y_e² T u / (u - T)] = u (1 - S)`` grows with u, so S crosses 1 once: Newton on ``1/S``, which
    is linear for a single pole, with bisection where it leaves the bracket.
    """
    M, lower = len(T), 0.0
    for i in range(M):
        lower = min(lower, T[i])
        scratch[i] = residues[i] / (u_edge - T[i])
        more[i] = abs(residues[i])
    margin = _total(scratch, M) - 1
    if not margin > 0:
        return margin, np.nan
    lower, upper, u = lower - _total(more, M), u_edge, u_edge  # |S| < 1 at the lower end and below
    for _ in range(ITERATIONS):
        for i in range(M):
            inverse = 1 / (u - T[i])
            scratch[i] = residues[i] * inverse
            more[i] = scratch[i] * inverse
        S = _total(scratch, M)
        if S > 1:
            upper = u
        else:
            lower = u
        proposed = u - (S - S * S) / _total(more, M)
        if not lower <= proposed <= upper:
            proposed = (lower + upper) / 2
        change = proposed - u
        u = proposed
        if not abs(change) > RESOLUTION * abs(u):
            break
    return margin, u


def last_crossing_time(times: ArrayLike, margin: ArrayLike) -> Float64:
    """Time of the last crossing of ``margin`` from positive to not positive, interpolated linearly.

    With ``margin`` the ``bbp_margin`` of :func:`predict`, this is ``t_BBP`` (docs/explanation/physics.md §5).

    Parameters
    ----------
    times
        Increasing recorded times, shape (time,).
    margin
        Shape (..., time). Records that are NaN are skipped.

    Returns
    -------
    Shape (...), in units of ``times``. NaN if the margin is never positive (there was no outlier);
    infinity if it is positive at the last record (the outlier still exists).
    """
    t = require_reals("times", times).astype(np.float64)
    values = require_reals("margin", margin).astype(np.float64)
    if t.ndim != 1 or values.shape[-1:] != t.shape:
        raise ValueError(
            f"times {t.shape} and margin {values.shape} do not fit; margin must end in the dimension of times"
        )
    if not (np.diff(t) > 0).all():
        raise ValueError("times do not increase; sort the records first")
    crossings = np.empty(values.shape[:-1])
    for run in np.ndindex(crossings.shape):
        known = np.isfinite(values[run])
        crossings[run] = _last_crossing(t[known], values[run][known])
    return crossings


def _last_crossing(t: Float64, margin: Float64) -> float:
    (positive,) = np.nonzero(margin > 0)
    if positive.size == 0:
        return np.nan
    last = positive[-1]
    if last == t.size - 1:
        return np.inf
    share = margin[last] / (margin[last] - margin[last + 1])
    return float(t[last] + share * (t[last + 1] - t[last]))
