"""Coefficients of the Runge-Kutta-Chebyshev recurrence, and its stability (Sommeijer et al. 1998)."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.intp]

MAX_STAGES = 128

# epsilon of the paper, where it is 2/13: damping of the stiff modes at the cost of more stages. A larger
# value allows a smaller safety factor of the spectral radius: 2 % fewer evaluations, with equal outcomes.
_DAMPING = 0.5
STABILITY = 2 / 3 * (1 - 2 / 15 * _DAMPING)  # stable up to this number times (stages^2 - 1)
LARGEST_STIFFNESS = STABILITY * ((MAX_STAGES - 1) ** 2 - 1)  # largest stable step * spectral radius


class Coefficients(NamedTuple):
    """Weights of the recurrence, indexed [stages, stage]; names as in the paper."""

    mu: Float
    nu: Float
    mu_tilde: Float
    gamma_tilde: Float


@cache
def coefficients(max_stages: int = MAX_STAGES) -> Coefficients:
    """Tables of the recurrence for 2 to ``max_stages`` stages; arrays (max_stages + 1, max_stages + 1)."""
    shape = (max_stages + 1, max_stages + 1)
    table = Coefficients(*(np.zeros(shape) for _ in Coefficients._fields))
    for s in range(2, max_stages + 1):
        w0 = 1 + _DAMPING / s**2
        T, dT, ddT = _chebyshev_with_derivatives(s, w0)
        w1 = dT[s] / ddT[s]
        b = np.empty(s + 1)
        b[2:] = ddT[2:] / dT[2:] ** 2
        b[0], b[1] = b[2], 1 / w0
        a = 1 - b * T
        j = np.arange(2, s + 1)
        table.mu_tilde[s, 1] = b[1] * w1
        table.mu[s, j] = 2 * b[j] * w0 / b[j - 1]
        table.nu[s, j] = -b[j] / b[j - 2]
        table.mu_tilde[s, j] = 2 * b[j] * w1 / b[j - 1]
        table.gamma_tilde[s, j] = -a[j - 1] * table.mu_tilde[s, j]
    return table


def _chebyshev_with_derivatives(degree: int, x: float) -> tuple[Float, Float, Float]:
    """Chebyshev polynomials T_0 ... T_degree at ``x`` with their first two derivatives."""
    T, dT, ddT = np.zeros((3, degree + 1))
    T[0], T[1], dT[1] = 1, x, 1
    for j in range(2, degree + 1):
        T[j] = 2 * x * T[j - 1] - T[j - 2]
        dT[j] = 2 * x * dT[j - 1] - dT[j - 2] + 2 * T[j - 1]
        ddT[j] = 2 * x * ddT[j - 1] - ddT[j - 2] + 4 * dT[j - 1]
    return T, dT, ddT


def stages_needed(stiffness: Float) -> Int:
    """Smallest number of stages that is stable for ``stiffness = step * spectral radius``."""
    needed: Int = 1 + np.sqrt(1 + stiffness / STABILITY).astype(np.intp)
    return np.maximum(needed, 2)
