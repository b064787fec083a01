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
_MARGIN = 1.001  # allowance for rounding errors of float32 products


def is_trapped(problem: Problem, loss: Loss, w: Array, recovery_threshold: float) -> bool:
    """Whether gradient flow from ``w`` provably stays near a minimum where ``|m|`` is below the threshold.

    This is a proof, up to rounding in float64, for the losses of docs/explanation/physics.md §2, and an
    estimate for other losses. False means that nothing is known. The cost is about that of a Hessian and its
    eigenvalues, and several times that if the answer is True.

    Parameters
    ----------
    problem, loss
        Instance and loss.
    w
        Point on the sphere, shape (N,).
    recovery_threshold
        ``|m|`` above which a run counts as recovered.
    """
    N = problem.N
    point = w.astype(np.float64)
    point *= np.sqrt(N / (point @ point))
    hessian, basis = tangent_hessian(problem, loss, point)
    factor, failed = lapack.dpotrf(hessian, lower=1, clean=1)
    if failed:
        return False
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
    if _barrier(force, along + bend, fourth) is None:
        return False
    distance = _barrier(force, _largest_cubic(changes, cubic) + bend, fourth)
    if distance is None:
        return False
    towards = solve_triangular(factor, basis.coordinates(problem.signal), lower=True)
    overlap = abs(float(point @ problem.signal)) / N
    return bool(overlap + distance * float(np.linalg.norm(towards)) / N < recovery_threshold)


def _barrier(force: float, third: float, fourth: float) -> float | None:
    """Smallest ``s`` with ``s / 2 - third s² - fourth s³ > force``, if there is one."""

    def height(s: float) -> float:
        return s / 2 - third * s**2 - fourth * s**3 - force

    if not np.isfinite([force, third, fourth]).all():
        return None
    steepest = third + np.sqrt(third**2 + 1.5 * fourth)
    high = 0.5 / steepest if steepest > 0 else 4 * force + 1e-300  # where the height is largest
    if height(high) <= 0:
        return None
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if height(middle) > 0 else (middle, high)
    return float(high)


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
    square: Any = np.zeros((rows.shape[1], rows.shape[1]), np.float32)
    for first in range(0, len(rows), _BLOCK):
        block = slice(first, first + _BLOCK)
        products = rows[block] @ rows.T
        products *= products
        square += weighted[block].T @ (products @ weighted)
    return scale * math.sqrt(_largest_eigenvalue(square))


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
