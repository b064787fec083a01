"""Gaussian variables of the effective process: scrambled Sobol points, orthonormalised over the samples.

The process of one sample needs the Gaussian ``z`` of its label, the start, and one variable for each time
step. Their empirical covariance is the identity, so that the empirical covariance of the fields is exactly
the required one. Variables are generated in the order of their importance, because the first Sobol
coordinates are the most evenly distributed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from phasepipe.theory.quadrature import Floats

_AT_ONCE = 32  # variables generated at a time


class GaussianVariables:
    """Orthonormal Gaussian variables of all samples, generated on demand.

    Parameters
    ----------
    samples
        Number of samples, a power of two.
    most
        Maximal number of variables.
    seed
        Seed for scrambling the Sobol points.
    antithetic
        Use pairs of samples ``(z, g)`` and ``(z, -g)``, with the partners in the second half: averages that
        vanish by symmetry then vanish exactly.

    Attributes
    ----------
    label
        ``z``, shape (samples,).
    """

    def __init__(self, samples: int, most: int, seed: int, *, antithetic: bool) -> None:
        from scipy.stats import qmc  # slow to import; every worker imports this package

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
                for _ in range(2):  # the second pass removes rounding errors
                    new -= ((known @ new.astype(np.float32)) / points) @ known
                    new -= (fresh[:place] @ new / points) @ fresh[:place]
                new /= np.sqrt(np.mean(new**2))
            self._count += len(fresh)
            self._values[first : self._count, :points] = fresh
            if self._antithetic:
                self._values[first : self._count, points:] = -fresh
        return self._values[: self._count]


def _gaussian(uniform: NDArray[np.float32]) -> Floats:
    # float32 resolves all points of the sequence, but may round to 1
    values: Floats = ndtri(np.clip(uniform.astype(np.float64), 1e-9, 1 - 6e-8))
    return values
