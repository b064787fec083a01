"""Ensembles of sensing matrices, all with entries of mean 0 and second moment 1.

See docs/explanation/physics.md §1.

The theory assumes the Gaussian ensemble; the others test whether its results are universal. All predictions
of :mod:`phasepipe.theory` for N to infinity are for Gaussian matrices without noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Sensing = NDArray[np.float32]


class Ensemble(Protocol):
    """Draws sensing matrices."""

    def draw(self, rng: np.random.Generator, M: int, N: int) -> Sensing:
        """One sensing matrix, shape (M, N), float32."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """Entries iid N(0, 1)."""

    def draw(self, rng: np.random.Generator, M: int, N: int) -> Sensing:
        """One sensing matrix, shape (M, N)."""
        return rng.standard_normal((M, N), dtype=np.float32)


@dataclass(frozen=True)
class Signs:
    """Entries iid +1 or -1 with equal probability."""

    def draw(self, rng: np.random.Generator, M: int, N: int) -> Sensing:
        """One sensing matrix, shape (M, N)."""
        return (2 * rng.integers(0, 2, (M, N), dtype=np.int8) - 1).astype(np.float32)


@dataclass(frozen=True)
class Sphere:
    """Rows independent and uniform on the sphere of radius ``sqrt(N)``."""

    def draw(self, rng: np.random.Generator, M: int, N: int) -> Sensing:
        """One sensing matrix, shape (M, N)."""
        rows = rng.standard_normal((M, N), dtype=np.float32).astype(np.float64)
        # einsum, not BLAS: the bits of the matrix must not depend on the BLAS kernel
        norms = np.sqrt(np.einsum("mn,mn->m", rows, rows) / N)
        return np.asarray(rows / norms[:, None], np.float32)


@dataclass(frozen=True)
class Correlated:
    """Independent Gaussian rows whose columns i and j have correlation ``rho**|i - j|``.

    Attributes
    ----------
    rho
        Correlation of neighbouring columns, in (-1, 1).

    Raises
    ------
    ValueError
        If ``rho`` is outside (-1, 1).
    """

    rho: float

    def __post_init__(self) -> None:
        if not -1 < self.rho < 1:
            raise ValueError(f"rho = {self.rho} lies outside (-1, 1); take for example rho = 0.5")

    def draw(self, rng: np.random.Generator, M: int, N: int) -> Sensing:
        """One sensing matrix, shape (M, N)."""
        from scipy.signal import lfilter  # importing it at the top would cost every worker half a second

        innovations = rng.standard_normal((M, N), dtype=np.float32).astype(np.float64)
        innovations[:, 1:] *= np.sqrt(1 - self.rho**2)  # the first column starts in the stationary state
        return np.asarray(lfilter([1.0], [1.0, -self.rho], innovations, axis=1), np.float32)


@dataclass(frozen=True)
class Orthogonal:
    """Uniform among matrices with orthogonal columns of norm ``sqrt(M)``; if M < N, rows of ``sqrt(N)``."""

    def draw(self, rng: np.random.Generator, M: int, N: int) -> Sensing:
        """One sensing matrix, shape (M, N)."""
        tall = rng.standard_normal((max(M, N), min(M, N)))
        basis, triangle = np.linalg.qr(tall)
        basis *= np.sign(np.diag(triangle)) * np.sqrt(max(M, N))  # the signs make it uniform (Haar)
        # the last bits of LAPACK differ between machines, but the digest of an instance must not
        rounded = np.round(basis * 2**14) / 2**14
        return np.ascontiguousarray(rounded if M >= N else rounded.T, np.float32)


GAUSSIAN = Gaussian()
