"""The alpha at which outcomes are most mixed: where the share of recovered runs is closest to one half.

All figures and sentences about a single alpha use this one, so that they refer to the same runs.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from phasepipe.physics.outcomes import Outcome


def share_recovered(outcome: xr.DataArray) -> xr.DataArray:
    """P(recovery) at the full time budget: recovered runs divided by computed runs that did not diverge.

    Parameters
    ----------
    outcome
        Codes of :class:`~phasepipe.physics.outcomes.Outcome`; all dimensions except N and alpha are summed.

    Returns
    -------
    Dimensions N and alpha, as far as ``outcome`` has them; NaN where there are no valid runs.
    """
    runs = [dim for dim in outcome.dims if dim not in ("N", "alpha")]
    counted = ((outcome != Outcome.PENDING) & (outcome != Outcome.DIVERGED)).sum(runs)
    return (outcome == Outcome.RECOVERED).sum(runs) / counted.where(counted > 0)


def most_mixed(share: ArrayLike, usable: ArrayLike = True) -> int:
    """Index of the share closest to one half, among those that are known and ``usable``.

    Parameters
    ----------
    share
        Shares of recovered runs, shape (alpha,); NaN is skipped unless all are NaN.
    usable
        Indices that may be chosen, shape (alpha,) bool; ignored if all are False.
    """
    shares = np.asarray(share, float)
    distance = np.where(np.isnan(shares), 1.0, np.abs(shares - 0.5))
    return int(np.argmin(np.where(usable, distance, 2.0)))


def most_mixed_over_sizes(share: xr.DataArray) -> int:
    """Index of the alpha whose mean share over N is closest to one half, among those with the most N.

    Parameters
    ----------
    share
        Dimensions N and alpha, NaN where an N lacks the alpha.
    """
    sizes = share.count("N").values
    return most_mixed(share.mean("N").values, sizes == sizes.max())
