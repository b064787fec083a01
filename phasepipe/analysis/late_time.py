"""What a mean over runs tends to at late times, with everything resampled by whole instances.

Gradient flow relaxes slowly, so the last record is not the limit. Over the last decade of time the mean is
fitted by ``S(t) = S_inf + c t^-p``, with S_inf and c of every cell (N, alpha) and one p for all cells: a
single cell does not determine three parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

DECADE = 10.0  # records from t_max / DECADE on enter the fit
LEAST_RECORDS = 4  # in that decade; with fewer there is no extrapolation
# p below 1/4 makes the limit several times the change that was seen, above 2 none of it
EXPONENTS = np.round(np.arange(0.25, 2.01, 0.05), 2)


@dataclass(frozen=True)
class Cell:
    """The runs at one N and alpha, added up by instance."""

    sums: Float  # (instance, time), over the runs of an instance
    counts: Float  # (instance,), runs


@dataclass(frozen=True)
class LateTimes:
    """Means of every cell and what they tend to; sample 0 is the data, the others are resampled."""

    end: Float  # (cell, sample), at the last record
    limit: Float  # (cell, sample), for t to infinity; NaN with too few records
    exponent: Float  # (sample,), p

    @property
    def end_error(self) -> Float:
        """Standard error of the means at the last record, shape (cell,)."""
        return spread(self.end)

    @property
    def limit_error(self) -> Float:
        """Standard error of the limits, shape (cell,); p is fitted anew in every sample."""
        return spread(self.limit)


def spread(samples: Float) -> Float:
    """Standard error from the resampled columns; sample 0 is the data.

    It is half the central 68 %: a few samples in which a line is nearly flat would decide a standard
    deviation.
    """
    low, high = np.quantile(samples[..., 1:], [0.158655, 0.841345], axis=-1)
    return np.asarray((high - low) / 2)


def late_times(cells: Sequence[Cell], time: Float, samples: int, rng: np.random.Generator) -> LateTimes:
    """Means over runs at the end and for t to infinity.

    Parameters
    ----------
    cells
        At least one; each with at least two instances that have runs.
    time
        Record times, ascending, shape (time,).
    samples
        Resamples of whole instances.
    rng
        Random stream of the resamples.
    """
    late = time >= time[-1] / DECADE * (1 - 1e-9)
    means = np.stack([_resampled(cell, late, samples, rng) for cell in cells])
    end = means[..., -1]
    if late.sum() < LEAST_RECORDS:
        unknown = np.full(end.shape, np.nan)
        return LateTimes(end, unknown, unknown[0])
    weights = 1 / np.maximum(spread(end), 1e-12) ** 2
    scaled = time[late] / time[-1]
    limits, squares = [], []
    for exponent in EXPONENTS:
        design = np.stack([np.ones_like(scaled), scaled**-exponent], axis=1)
        solve = np.linalg.pinv(design)
        parameters = means @ solve.T
        residuals = means - parameters @ design.T
        limits.append(parameters[..., 0])
        squares.append((weights[:, None] * (residuals**2).sum(axis=-1)).sum(axis=0))
    best = np.argmin(squares, axis=0)
    limit = np.take_along_axis(np.stack(limits), best[None, None, :], axis=0)[0]
    return LateTimes(end, limit, EXPONENTS[best])


def _resampled(cell: Cell, late: NDArray[np.bool_], samples: int, rng: np.random.Generator) -> Float:
    """Means over the runs, shape (sample, time), of the data and of resampled instances."""
    used = cell.counts > 0
    sums, counts = cell.sums[used][:, late], cell.counts[used]
    instances = len(counts)
    drawn = rng.multinomial(instances, np.full(instances, 1 / instances), size=samples)
    times_drawn = np.concatenate([np.ones((1, instances)), drawn])
    # the spread of resamples underestimates that of means by this factor
    widen = np.sqrt(instances / (instances - 1))
    means = (times_drawn @ sums) / (times_drawn @ counts)[:, None]
    return np.asarray(means[0] + widen * (means - means[0]))
