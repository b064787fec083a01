"""One instance of phase retrieval (docs/explanation/physics.md §1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from phasepipe.errors import shown
from phasepipe.physics.arguments import require_flag, require_integer, require_number, require_reals
from phasepipe.physics.ensembles import GAUSSIAN, Ensemble
from phasepipe.physics.streams import Stream, generator

_PART = 2**14  # bytes


def measurement_count(N: int, alpha: float) -> int:
    """Number of measurements ``M = round(alpha N)`` (docs/explanation/physics.md §1).

    Raises
    ------
    TypeError
        If ``N`` is not an integer or ``alpha`` not a number.
    ValueError
        If ``N < 2`` or no measurement is left.
    """
    require_integer("N", N, least=2, example=256, most=1_000_000)
    alpha = require_number("alpha", alpha, example=3.0, above=0)
    count = round(alpha * N)
    if count < 1:
        raise ValueError(
            f"alpha = {alpha} at N = {N} gives M = {count} measurements; take alpha of at least {1 / N:.3g}"
        )
    return count


_LARGEST_MATRIX = 10**12  # bytes; more does not fit into the memory of any machine


@dataclass(frozen=True, eq=False)
class Problem:
    """Sensing matrix, signal and labels of one instance.

    Attributes
    ----------
    sensing
        ``X``, shape (M, N), float32 (the draws are float32; computing in float64 casts them).
    signal
        ``w*``, shape (N,), float64, ``|w*|² = N``.
    labels
        ``y``, shape (M,), float64: ``X w* / sqrt(N)`` plus noise, or independent N(0, 1) if ``zero_signal``.
    seed, instance
        Integers that, with N and M, address every random stream of the instance.
    zero_signal
        Whether the labels are independent of the signal (control of docs/explanation/physics.md §1).
    ensemble
        Ensemble of the sensing matrix.
    noise
        Standard deviation of the Gaussian label noise.
    """

    sensing: NDArray[np.float32]
    signal: NDArray[np.float64]
    labels: NDArray[np.float64]
    seed: int
    instance: int
    zero_signal: bool = False
    ensemble: Ensemble = GAUSSIAN
    noise: float = 0.0

    def __post_init__(self) -> None:
        parts: dict[str, NDArray[Any]] = {
            "sensing": self.sensing,
            "signal": self.signal,
            "labels": self.labels,
        }
        for name, part in parts.items():
            if not isinstance(part, np.ndarray) or part.dtype.kind not in "fiu":
                raise TypeError(f"{name} = {shown(part)} is no NumPy array of real numbers")
            flat = part.ravel()
            if not np.isfinite(np.vdot(flat, flat)):  # faster than a test of each entry
                raise ValueError(f"{name} has entries that are not finite, or far from order one")
        _require_settings(self.seed, self.instance, self.zero_signal, self.ensemble, self.noise)
        shape, signal, labels = (part.shape for part in parts.values())
        if len(shape) != 2 or 0 in shape or signal != shape[1:] or labels != shape[:1]:
            raise ValueError(
                f"sensing {shape}, signal {signal} and labels {labels} do not fit; "
                "their shapes must be (M, N), (N,) and (M,), not empty"
            )

    @classmethod
    def draw(
        cls,
        N: int,
        alpha: float,
        seed: int,
        instance: int = 0,
        *,
        zero_signal: bool = False,
        ensemble: Ensemble = GAUSSIAN,
        noise: float = 0.0,
    ) -> Self:
        """Draw an instance; the same integers always give the same instance.

        Parameters
        ----------
        N, alpha
            Dimension and requested ratio; ``M = round(alpha N)`` measurements are drawn.
        seed, instance
            Non-negative integers.
        zero_signal
            Draw labels that are independent of the sensing matrix.
        ensemble
            Ensemble of the sensing matrix; see :mod:`phasepipe.physics.ensembles`.
        noise
            Standard deviation ``sigma`` of noise ``y = X w* / sqrt(N) + sigma xi``. The good minimum then
            lies at ``1 - |m|`` of order ``sigma² / (2 (alpha - 1))``. Defining recovery by a threshold of
            ``|m|`` is meaningful only if this is well below 1 - threshold.

        Raises
        ------
        TypeError
            If N, seed or instance is not an integer, or alpha or noise is not a number.
        ValueError
            If one of them is out of range or no measurement is left.
        """
        noise = _require_settings(seed, instance, zero_signal, ensemble, noise)
        M = measurement_count(N, alpha)
        if 4 * M * N > _LARGEST_MATRIX:
            raise ValueError(
                f"N = {N} with alpha = {alpha:g} needs a sensing matrix of {4e-9 * M * N:.3g} GB; reduce one"
            )
        sensing = ensemble.draw(generator(Stream.SENSING, seed, N, M, instance), M, N)
        signal = generator(Stream.SIGNAL, seed, N, M, instance).standard_normal(N)
        signal *= np.sqrt(N) / np.linalg.norm(signal)
        if zero_signal:
            labels = generator(Stream.CONTROL_LABELS, seed, N, M, instance).standard_normal(M)
        else:
            # einsum, not BLAS: the labels are stored, and their bits must not depend on the BLAS kernel
            labels = np.einsum("mn,n->m", sensing, signal) / np.sqrt(N)
            if noise:
                labels += noise * generator(Stream.NOISE, seed, N, M, instance).standard_normal(M)
        return cls(sensing, signal, labels, seed, instance, zero_signal, ensemble, noise)

    @property
    def N(self) -> int:
        """Dimension."""
        return int(self.sensing.shape[1])

    @property
    def M(self) -> int:
        """Number of measurements."""
        return int(self.sensing.shape[0])

    @property
    def alpha(self) -> float:
        """Realised signal-to-noise ratio ``M / N``."""
        return self.M / self.N

    def predictions(self, w: NDArray[np.floating]) -> NDArray[np.float64]:
        """Predictions ``yhat = X w / sqrt(N)`` at points ``w``, shape (..., N).

        See docs/explanation/physics.md §1.

        Returns
        -------
        array, shape (..., M), float64

        Raises
        ------
        TypeError
            If ``w`` is no array of real numbers.
        ValueError
            If the last dimension of ``w`` is not N.
        """
        points = require_reals("w", w).astype(np.float64, copy=False)
        if points.shape[-1:] != (self.N,):
            raise ValueError(f"w has shape {points.shape}; its last dimension must be N = {self.N}")
        found: NDArray[np.float64] = points @ self.sensing.T.astype(np.float64) / np.sqrt(self.N)
        return found

    def digest(self) -> np.uint64:
        """Digest of the sensing matrix, to check a matrix that is drawn again.

        The first 8 bytes of the BLAKE2b of the CRC32C checksums of its bytes, 16 KiB by 16 KiB: against a
        matrix that differs by chance as good as a BLAKE2b of all bytes, in a tenth of the time.
        """
        raw = np.ascontiguousarray(self.sensing).view(np.uint8).reshape(-1)
        parts = (raw[start : start + _PART].tobytes() for start in range(0, raw.size, _PART))
        checksums = b"".join(int(google_crc32c.value(part)).to_bytes(4, "little") for part in parts)
        return _first_bytes(checksums)

    def former_digest(self) -> np.uint64:
        """Digest of the sensing matrix in stores of earlier states: of all its bytes."""
        return _first_bytes(np.ascontiguousarray(self.sensing).data)


def _first_bytes(content: bytes | memoryview) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little"))


def require_problem(value: object) -> Problem:
    """``value`` if it is a problem.

    Raises
    ------
    TypeError
        If it is none.
    """
    if not isinstance(value, Problem):
        raise TypeError(f"problem = {shown(value)} is no Problem; draw one with phasepipe.Problem.draw")
    return value


def _require_settings(seed: int, instance: int, zero_signal: bool, ensemble: Ensemble, noise: float) -> float:
    """Check what a problem is drawn with; the noise as a float."""
    require_integer("seed", seed, least=0, example=0)
    require_integer("instance", instance, least=0, example=0)
    require_flag("zero_signal", zero_signal)
    if isinstance(ensemble, type) or not callable(getattr(ensemble, "draw", None)):
        raise TypeError(
            f"ensemble = {shown(ensemble)} is no object of phasepipe.physics.ensembles; take for example "
            "Gaussian()"
        )
    if not 0 <= (deviation := require_number("noise", noise, example=0.1)) <= 1e3:
        raise ValueError(f"noise = {shown(noise)} is negative or above 1000; take for example noise = 0.1")
    return deviation
