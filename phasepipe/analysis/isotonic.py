"""Success curve that assumes only that P does not fall with alpha: the fallback where a fit is rejected."""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression

from phasepipe.analysis.counts import Cells, FloatArray

REPLICATES = 1000


def isotonic_probability(recovered: FloatArray, runs: FloatArray) -> FloatArray:
    """Non-decreasing maximum-likelihood success probability of cells in order of alpha, shape (cell,)."""
    return np.asarray(isotonic_regression(recovered / runs, weights=runs).x)


def crossing(alpha: FloatArray, probability: FloatArray) -> float:
    """Where a non-decreasing curve passes 1/2, linear between cells; the middle of a plateau at 1/2.

    ``-inf`` if it starts above, ``inf`` if it ends below.
    """
    if probability[0] > 0.5:
        return -np.inf
    if probability[-1] < 0.5:
        return np.inf

    def between(right: int) -> float:
        if right == 0:
            return float(alpha[0])
        if right == len(alpha):
            return float(alpha[-1])
        ends = slice(right - 1, right + 1)
        return float(np.interp(0.5, probability[ends], alpha[ends]))

    entering, leaving = (int(np.searchsorted(probability, 0.5, side=side)) for side in ("left", "right"))
    return (between(entering) + between(leaving)) / 2


def bootstrap_crossings(cells: Cells, rng: np.random.Generator, level: float) -> tuple[float, float]:
    """Percentile interval of :func:`crossing` over instances; infinite where replicates do not cross."""
    recovered, runs = cells.resample(rng, REPLICATES)
    draws = [crossing(cells.alpha, isotonic_probability(k, n)) for k, n in zip(recovered, runs, strict=True)]
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(lower), float(upper)
