"""Riemannian Hessian on the tangent space of the sphere, dense and matrix-free.

See docs/explanation/physics.md §4.

A Householder reflection maps ``w`` to the first axis; the other N - 1 axes are an orthonormal basis of
the tangent space, which avoids a spurious zero eigenvalue along ``w``. One reduction to tridiagonal form
gives all eigenvalues, the lowest eigenvectors, and the signal overlap of every eigenvector without computing
the eigenvectors. All arithmetic is float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import blas

from phasepipe.errors import shown
from phasepipe.physics.arguments import require_flag, require_integer, require_reals
from phasepipe.physics.loss_check import check_loss
from phasepipe.physics.losses import Array, Loss, require_loss
from phasepipe.physics.problem import Problem, require_problem
from phasepipe.physics.tridiagonal import Tridiagonal
from phasepipe.variables import SPECTRUM

Float64 = NDArray[np.float64]

BLOCK_ROWS = 512  # rows of X in float64 at a time; 256 to 4096 are equally fast (within 5 %) at N = 1024
SPHERE_TOLERANCE = 1e-4  # relative, on |w|² = N; sufficient for float32 points


class Measurements(Protocol):
    """Data of an instance for the Hessian: a :class:`Problem`, or any object with these two arrays."""

    @property
    def sensing(self) -> NDArray[Any]:
        """``X``, shape (M, N)."""
        ...

    @property
    def labels(self) -> NDArray[Any]:
        """``y``, shape (M,)."""
        ...


@dataclass(frozen=True)
class TangentBasis:
    """Orthonormal basis of the tangent space at ``w``: a Householder reflection without its first axis.

    ``normal`` (N,) is the unit normal of the reflection that maps ``w`` to the first axis.
    """

    normal: Float64

    @classmethod
    def at(cls, w: Float64) -> TangentBasis:
        """Basis of the tangent space at ``w``, shape (N,)."""
        normal = w / np.linalg.norm(w)
        normal[0] += np.copysign(1.0, normal[0])  # the sign that avoids cancellation
        return cls(normal / np.linalg.norm(normal))

    def coordinates(self, vectors: Float64) -> Float64:
        """Tangent coordinates (..., N - 1) of ``vectors`` (..., N); components along ``w`` are discarded."""
        rest = self.normal[1:]
        coordinates: Float64 = vectors[..., 1:] - 2 * (vectors @ self.normal)[..., None] * rest
        return coordinates

    def vectors(self, coordinates: Float64) -> Float64:
        """Vectors (..., N) orthogonal to ``w`` with these ``coordinates`` (..., N - 1)."""
        vectors = -2 * (coordinates @ self.normal[1:])[..., None] * self.normal
        vectors[..., 1:] += coordinates
        return vectors


def tangent_hessian(problem: Measurements, loss: Loss, w: Array) -> tuple[Float64, TangentBasis]:
    """Riemannian Hessian at one point as a dense matrix on the tangent space.

    See docs/explanation/physics.md §4.

    Memory is one matrix of size (N - 1)² and a few blocks of rows of X, independently of alpha.

    Parameters
    ----------
    problem
        An instance, or any object with ``sensing`` (M, N) and ``labels`` (M,).
    loss
        Loss with ``slope`` and ``curvature``.
    w
        Point on the sphere, shape (N,), ``|w|² = N``.

    Returns
    -------
    matrix, basis
        Shape (N - 1, N - 1), Fortran order; **only the lower triangle is filled**. ``basis`` maps
        between its coordinates and vectors of length N.

    Raises
    ------
    ValueError
        If ``w`` has the wrong shape, is not finite or is not on the sphere.
    """
    point = _one_on_sphere(w, problem.sensing.shape[1])
    N = point.size
    basis = TangentBasis.at(point)
    curvature, mu = _curvature_and_multiplier(problem, loss, point)
    matrix = np.zeros((N - 1, N - 1), order="F")
    for rows, sensing in _row_blocks(problem):
        weight = curvature[rows]
        # treat an indefinite weight by two symmetric rank-k updates: half the work of a general product
        for sign in (1.0, -1.0):
            chosen = sign * weight > 0
            if chosen.any():
                block = basis.coordinates(sensing[chosen]) * np.sqrt(np.abs(weight[chosen]))[:, None]
                matrix = blas.dsyrk(sign / N, block.T, beta=1.0, c=matrix, lower=1, overwrite_c=1)
    matrix[np.diag_indices(N - 1)] -= mu
    return matrix, basis


def lowest_eigenpairs(problem: Measurements, loss: Loss, w: Array, k: int = 1) -> tuple[Float64, Float64]:
    """The ``k`` lowest eigenvalues and eigenvectors of the Riemannian Hessian at one point.

    Returns
    -------
    eigenvalues, eigenvectors
        Shapes (k,) ascending and (k, N): unit vectors orthogonal to ``w``. The component of largest
        magnitude of each eigenvector is positive, so that results repeat.
    """
    require_loss(loss)
    matrix, basis = tangent_hessian(problem, loss, w)
    _require_count(k, len(matrix))
    return _lowest_eigenpairs(Tridiagonal.reduce(matrix), basis, k)


def spectrum(problem: Problem, loss: Loss, w: Array, k: int = 2, full: bool = False) -> xr.Dataset:
    """Spectrum of the Riemannian Hessian and the signal overlap of its eigenvectors.

    See docs/explanation/physics.md §4.

    Parameters
    ----------
    problem, loss
        Instance (its signal defines the overlaps) and loss.
    w
        Points on the sphere, shape (N,) or (count, N).
    k
        Number of lowest eigenpairs, 1 to N - 1.
    full
        Also return all eigenvalues with their signal overlaps (dimension ``mode``, N - 1), and the largest
        signal overlap with its rank; about twice the cost.

    Returns
    -------
    xarray.Dataset
        Dimensions ``start`` (absent for ``w`` of shape (N,)) and ``eigenvalue`` (k), ascending:
        ``eigenvalues``, ``signal_overlap`` (``q_k``), ``mu``, ``overlap``, ``index``,
        ``largest_eigenvalue``; if ``full`` also ``all_eigenvalues``, ``all_signal_overlaps``,
        ``largest_signal_overlap`` and ``largest_signal_overlap_rank``.

    Raises
    ------
    ValueError
        If a point is not on the sphere, a shape is wrong, ``k`` is out of range, or a point has an
        overlap of ±1 with the signal, where no tangent direction points to the signal.
    """
    check_loss(loss)
    w = require_reals("w", w)
    points = _on_sphere(w, require_problem(problem).N)
    _require_count(k, problem.N - 1)
    require_flag("full", full)
    resolution = float(np.finfo(w.dtype if w.dtype.kind == "f" else np.float64).eps)
    directions = _signal_directions(points, problem.signal, resolution)
    rows = [
        _spectrum_at(problem, loss, point, direction, k, full)
        for point, direction in zip(points, directions, strict=True)
    ]
    variables: dict[str, Any] = {}
    for name, variable in SPECTRUM.items():
        if name in rows[0]:
            values = np.stack([row[name] for row in rows])
            variables[name] = (("start", *variable.dims), values, variable.attributes())
    dataset = xr.Dataset(variables)
    return dataset.isel(start=0) if w.ndim == 1 else dataset


def _lowest_eigenpairs(reduced: Tridiagonal, basis: TangentBasis, k: int) -> tuple[Float64, Float64]:
    eigenvalues, columns = reduced.eigenpairs(k)
    eigenvectors = basis.vectors(reduced.rotate(columns, back=True).T)
    largest = np.argmax(np.abs(eigenvectors), axis=1)
    eigenvectors *= np.sign(eigenvectors[np.arange(k), largest])[:, None]
    return eigenvalues, eigenvectors


def _spectrum_at(
    problem: Problem, loss: Loss, point: Float64, direction: Float64, k: int, full: bool
) -> dict[str, Any]:
    matrix, basis = tangent_hessian(problem, loss, point)
    reduced = Tridiagonal.reduce(matrix)
    lowest, eigenvectors = _lowest_eigenpairs(reduced, basis, k)
    everything = reduced.eigenvalues()
    row: dict[str, Any] = {
        "eigenvalues": lowest,
        "signal_overlap": (eigenvectors @ direction) ** 2,
        "mu": _curvature_and_multiplier(problem, loss, point)[1],
        "overlap": point @ problem.signal / problem.N,
        "index": np.mean(everything < 0),
        "largest_eigenvalue": everything[-1],
    }
    if full:
        # overlaps in the basis of the tridiagonal matrix need N² operations and no back-transformation
        everything, columns = reduced.eigenpairs()
        overlaps = (columns.T @ reduced.rotate(basis.coordinates(direction)[:, None], back=False)[:, 0]) ** 2
        row["all_eigenvalues"] = everything
        row["all_signal_overlaps"] = overlaps
        row["largest_signal_overlap"] = overlaps.max()
        row["largest_signal_overlap_rank"] = np.argmax(overlaps)
    return row


def _row_blocks(problem: Measurements) -> Iterator[tuple[slice, Float64]]:
    """Blocks of rows of the sensing matrix in float64; the complete matrix is never converted."""
    for first in range(0, problem.sensing.shape[0], BLOCK_ROWS):
        rows = slice(first, first + BLOCK_ROWS)
        yield rows, problem.sensing[rows].astype(np.float64)


def _curvature_and_multiplier(problem: Measurements, loss: Loss, point: Float64) -> tuple[Float64, float]:
    """Curvature weight ``T`` (M,) and Lagrange multiplier ``mu = (1/N) sum yhat l'`` at ``point``."""
    yhat = np.concatenate([sensing @ point for _, sensing in _row_blocks(problem)]) / np.sqrt(point.size)
    labels = problem.labels.astype(np.float64)
    curvature = np.asarray(loss.curvature(yhat, labels), dtype=np.float64)
    return curvature, float(yhat @ loss.slope(yhat, labels) / point.size)


def _signal_directions(points: Float64, signal: Float64, resolution: float) -> Float64:
    """Unit tangent directions ``e`` (count, N) to the signal; rejects overlaps of ±1."""
    N = signal.size
    overlaps = np.einsum("cn,n->c", points, signal) / N  # unlike BLAS, rows do not depend on each other
    directions = signal - overlaps[:, None] * points
    lengths = np.linalg.norm(directions, axis=1)
    (aligned,) = np.nonzero(lengths <= 8 * resolution * np.sqrt(N))
    if aligned.size:
        raise ValueError(
            f"point {aligned[0]} has overlap {overlaps[aligned[0]]:.15g} with the signal, where no tangent "
            "direction points to it; take a point before full recovery"
        )
    unit: Float64 = directions / lengths[:, None]
    return unit


def _on_sphere(w: Array, N: int) -> Float64:
    """``w`` as float64 rows (count, N), rescaled to the sphere to remove the rounding of float32."""
    if w.ndim not in (1, 2) or w.shape[-1] != N or len(w) == 0:
        raise ValueError(f"w has shape {w.shape}; it must be ({N},) or (count, {N}) for this problem")
    points = np.atleast_2d(w).astype(np.float64)
    squares = np.einsum("ij,ij->i", points, points)
    (outside,) = np.nonzero(~(np.abs(squares / N - 1) <= SPHERE_TOLERANCE))  # includes NaN
    if outside.size:
        raise ValueError(
            f"point {outside[0]} has |w|² = {squares[outside[0]]:.6g}, not N = {N}; "
            "rescale it to the sphere first"
        )
    scaled: Float64 = points * np.sqrt(N / squares)[:, None]
    return scaled


def _one_on_sphere(w: Array, N: int) -> Float64:
    """The same for a single point (N,)."""
    if w.ndim != 1:
        raise ValueError(f"w has shape {w.shape}; one point of shape ({N},) is needed here")
    point: Float64 = _on_sphere(w, N)[0]
    return point


def _require_count(k: int, dimension: int) -> None:
    if require_integer("k", k, least=1, example=2) > dimension:
        raise ValueError(f"k = {shown(k)} is out of range; the tangent space has 1 to {dimension} eigenpairs")
