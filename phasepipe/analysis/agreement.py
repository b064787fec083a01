"""Statistical tests of whether two sets of runs have the same success probabilities."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from phasepipe.analysis.counts import FloatArray, InstanceSums
from phasepipe.analysis.intervals import overdispersion

_EXACT = 12  # maximal number of differing instances for which all sign patterns are enumerated


def paired_p_value(difference: FloatArray) -> float:
    """Two-sided sign-flip test of paired differences of instances, shape (instance,).

    Exact for up to 12 differing instances; beyond that, the normal approximation is used.
    """
    moved = difference[difference != 0]
    if moved.size == 0:
        return 1.0
    total = abs(moved.sum())
    if moved.size <= _EXACT:
        signs: NDArray[np.int64] = np.array(list(product((-1, 1), repeat=moved.size)))
        return float(np.mean(np.abs(signs @ moved) >= total - 1e-9))
    return float(2 * stats.norm.sf(total / np.sqrt(np.sum(moved**2))))


def independent_p_values(first: InstanceSums, second: InstanceSums) -> FloatArray:
    """Two-sided score test of equal P(recovery) for independent instances, one p value per cell.

    The variance is the binomial variance at the pooled probability, times the design effect of each sample.
    """
    together = first.runs + second.runs
    with np.errstate(divide="ignore", invalid="ignore"):
        p = (first.recovered + second.recovered) / together
        effects = [overdispersion(sums, pool_axes=(0,)).design_effect for sums in (first, second)]
        variance = p * (1 - p) * (effects[0] / first.runs + effects[1] / second.runs)
        z = (first.recovered / first.runs - second.recovered / second.runs) / np.sqrt(variance)
    return np.where(variance > 0, 2 * stats.norm.sf(np.abs(z)), 1.0)


def adjusted(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with an additional column ``adjusted``, the Holm correction of ``p_value``."""
    values = multipletests(cells["p_value"], method="holm")[1] if len(cells) else []
    return cells.assign(adjusted=values)
