"""Certificate of a trapped run: a proof that gradient flow cannot leave the neighbourhood of a point.

Points near ``w`` are written ``sqrt(N) (w + x) / |w + x|`` with ``x`` tangent, ``p = X x / sqrt(N)`` the
changes of the predictions and ``q = |x|² / N``. For the losses of docs/explanation/physics.md §2, ``(1 + q)²
L`` is a polynomial of degree four in ``x``, and collecting its terms

    (1 + q)² (L - L(w)) >= g.x + x.H x / 2 + sum_i c_i p_i³ - q sum_i b_i p_i - q² L(w),

with gradient g and Hessian H at ``w``, ``c = l''' / 6`` and ``b = (yhat l'' - 3 l') / 2``; the omitted terms
are a sum of squares. If H is positive definite, let ``|x|_H² = x.H x``. If the right side is positive on the
whole ellipsoid ``|x|_H = s``, L is larger there than at ``w``, and the flow, along which L decreases, cannot
cross it. On the ellipsoid ``|g.x| <= s |g|_(1/H)``, ``q <= s² / (N lambda)`` with the smallest eigenvalue
lambda, and the cubic form is at most ``kappa s³``, where kappa is the largest singular value of its N x N²
matrix. This is a Newton-Kantorovich condition in the norm of H. In the Euclidean norm, stiff directions would
weaken it by factors of ten to thousands.

For a loss that is not a polynomial of degree four in yhat, the result is an estimate to third order in x.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack, solve_triangular

from phasepipe.physics.hessian import tangent_hessian
from phasepipe.physics.losses import Array, Loss
from phasepipe.physics.problem import Problem

Float64 = NDArray[np.float64]

_STEP = 1e-3  # of the finite difference of the curvature; exact if the curvature is quadratic in yhat
_BLOCK = 512  # rows of the M x M matrix of products in memory at a time
_KAPPA_PER_ALONG = 3.5  # typical ratio of the bounds on the cubic form, at points where runs are tested
_MARGIN = 1.001  # allowance for rounding errors of float32 products


def trap_margin(problem: Problem, loss: Loss, w: Array, recovery_threshold: float) -> float:
    """How firmly gradient flow from ``w`` is held near a minimum where ``|m|`` is below the threshold.

    This is a proof, up to rounding in float64, for the losses of docs/explanation/physics.md §2, and an
    estimate for other losses. The cost is about that of a Hessian and its eigenvalues, and several times that
    if the flow is held.

    Parameters
    ----------
    problem, loss
        Instance and loss.
    w
        Point on the sphere, shape (N,).
    recovery_threshold
        ``|m|`` above which a run counts as recovered.

    Returns
    -------
    float
        Above 1, the flow provably stays. From 0 to 1, nothing is known, and the gradient must shrink by about
        this factor before it can be known; 0 where no such factor is known.
    """
    N = problem.N
    point = w.astype(np.float64)
    point *= np.sqrt(N / (point @ point))
    hessian, basis = tangent_hessian(problem, loss, point)
    factor, failed = lapack.dpotrf(hessian, lower=1, clean=1)
    if failed:
        return 0.0
    sensing = problem.sensing.astype(np.float64)
    yhat, y = sensing @ point / np.sqrt(N), problem.labels
    slope, curvature = loss.slope(yhat, y), loss.curvature(yhat, y)
    cubic = (loss.curvature(yhat + _STEP, y) - loss.curvature(yhat - _STEP, y)) / (12 * _STEP)

    # in coordinates u with |u| = |x|_H: p = changes @ u
    changes = solve_triangular(factor, basis.coordinates(sensing).T / np.sqrt(N), lower=True).T
    gradient = slope @ changes
    force = float(np.linalg.norm(gradient))
    softness = _largest_eigenvalue(_inverse(factor)) / N
    bend = softness * float(np.linalg.norm((curvature * yhat - 3 * slope) / 2 @ changes))
    fourth = softness**2 * abs(float(np.sum(loss.value(yhat, y))))

    # along one direction the cubic form is less than kappa: this cheap test rejects most points that fail
    along = abs(float(cubic @ (changes @ gradient) ** 3)) / force**3 if force > 0 else 0.0
    margin = _margin(force, along + bend, fourth)
    if not margin > 1:
        return margin / _KAPPA_PER_ALONG
    third = _largest_cubic(changes, cubic) + bend
    margin = _margin(force, third, fourth)
    if not margin > 1:
        return margin
    distance = _barrier(force, third, fourth)
    towards = solve_triangular(factor, basis.coordinates(problem.signal), lower=True)
    overlap = abs(float(point @ problem.signal)) / N
    stays = overlap + distance * float(np.linalg.norm(towards)) / N < recovery_threshold
    return margin if stays else 0.0


def _height(s: float, third: float, fourth: float) -> float:
    """Force that the barrier holds at a distance ``s``."""
    return s / 2 - third * s**2 - fourth * s**3


def _summit(third: float, fourth: float) -> float:
    """Distance at which the height is largest; infinite without the terms of third and fourth order."""
    steepest = third + np.sqrt(third**2 + 1.5 * fourth)
    return float(0.5 / steepest) if steepest > 0 else math.inf


def _margin(force: float, third: float, fourth: float) -> float:
    """Largest force that the barrier holds, in units of ``force``; 0 if one of the numbers is not finite."""
    if not np.isfinite([force, third, fourth]).all():
        return 0.0
    summit = _summit(third, fourth)
    if force == 0 or math.isinf(summit):
        return math.inf
    return _height(summit, third, fourth) / force


def _barrier(force: float, third: float, fourth: float) -> float:
    """Smallest distance at which the barrier holds ``force``, which is at most its largest height."""
    summit = _summit(third, fourth)
    low, high = 0.0, 4 * force if math.isinf(summit) else summit
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _height(middle, third, fourth) > force else (middle, high)
    return high


def _largest_cubic(changes: Float64, cubic: Float64) -> float:
    """Bound on ``|sum_i c_i (changes_i.u)³|`` over unit ``u``.

    It is the largest singular value of the N x N² matrix of the form. At the ends of trapped runs it was 1.15
    to 1.45 times the largest value of the form found by a power method; a bound by the leverages of single
    rows was 3 to 6 times this value.
    """
    scale = float(np.abs(cubic).max())
    if scale == 0:
        return 0.0
    rows = changes.astype(np.float32)  # twice as fast; rounding errors are within the margin
    weighted = (cubic / scale).astype(np.float32)[:, None] * rows
    half: Any = np.zeros((rows.shape[1], rows.shape[1]), np.float32)
    for first in range(0, len(rows), _BLOCK):
        # the matrix of products is symmetric: blocks to the right of the diagonal, and half of those on it
        products = rows[first : first + _BLOCK] @ rows[first:].T
        products *= products
        products[:, :_BLOCK] *= 0.5
        half += weighted[first : first + _BLOCK].T @ (products @ weighted[first:])
    return scale * math.sqrt(_largest_eigenvalue(half + half.T))


def _inverse(factor: Float64) -> Float64:
    """Inverse of a matrix from its lower Cholesky factor, whose upper triangle is zero."""
    lower: Float64 = lapack.dpotri(factor, lower=1)[0]
    return lower + np.tril(lower, -1).T


def _largest_eigenvalue(matrix: Array) -> float:
    """Upper bound on the largest eigenvalue of a positive matrix, a few per cent above it.

    It is ``trace(A^16)^(1/16)``, which needs only products and a fraction of the time of a diagonalisation.
    """
    scale = float(np.linalg.norm(matrix))
    if not (np.isfinite(scale) and scale > 0):
        return scale
    power = (matrix / scale).astype(np.float32)
    for _ in range(3):
        power = power @ power
    return _MARGIN * scale * math.pow(float(np.linalg.norm(power)), 1 / 8)
