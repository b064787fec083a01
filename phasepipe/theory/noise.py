"""Gaussian variables of the effective process: scrambled Sobol points made orthonormal over the samples.

The process of one sample needs its label's Gaussian ``z``, the start, and one more variable for each time
step. Their empirical covariance is made the identity, so that the empirical covariance of the fields is the
one that the equations ask for. Variables come in the order in which they matter, which is what makes the even
spread of the first Sobol coordinates pay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from phasepipe.theory.quadrature import Floats

_AT_ONCE = 32  # variables made at a time


class GaussianVariables:
    """Orthonormal Gaussian variables of all samples, made when first asked for.

    Parameters
    ----------
    samples
        Number of samples, a power of two.
    most
        Largest number of variables that will be asked for.
    seed
        Scrambles the Sobol points.
    antithetic
        Samples come in pairs ``(z, g)`` and ``(z, -g)``, the second half of the samples mirroring the first:
        averages that vanish by symmetry then vanish exactly.

    Attributes
    ----------
    label
        ``z``, shape (samples,).
    """

    def __init__(self, samples: int, most: int, seed: int, *, antithetic: bool) -> None:
        from scipy.stats import qmc  # slow to import, and every worker imports this package

        self._antithetic = antithetic
        self._points = samples // 2 if antithetic else samples
        sobol = qmc.Sobol(most + 1 + _AT_ONCE, scramble=True, rng=np.random.default_rng([seed, samples]))
        self._uniform = sobol.random(self._points).T.astype(np.float32)
        half = _gaussian(self._uniform[0])
        half /= np.sqrt(np.mean(half**2))
        self.label: Floats = np.concatenate([half, half]) if antithetic else half
        self._values = np.empty((most + _AT_ONCE, samples), np.float32)
        self._count = 0

    def require(self, count: int) -> NDArray[np.float32]:
        """Return at least ``count`` variables, shape (variables, samples); the first is the start."""
        while self._count < count:
            first, points = self._count, self._points
            known = self._values[:first, :points]
            fresh = _gaussian(self._uniform[first + 1 : first + 1 + _AT_ONCE])
            if not self._antithetic:
                fresh -= fresh.mean(axis=1, keepdims=True)
            for place, new in enumerate(fresh):
                for _ in range(2):  # the second pass removes what rounding left
                    new -= ((known @ new.astype(np.float32)) / points) @ known
                    new -= (fresh[:place] @ new / points) @ fresh[:place]
                new /= np.sqrt(np.mean(new**2))
            self._count += len(fresh)
            self._values[first : self._count, :points] = fresh
            if self._antithetic:
                self._values[first : self._count, points:] = -fresh
        return self._values[: self._count]


def _gaussian(uniform: NDArray[np.float32]) -> Floats:
    # float32 has more digits than the sequence has points to tell apart, but may round to 1
    values: Floats = ndtri(np.clip(uniform.astype(np.float64), 1e-9, 1 - 6e-8))
    return values
