"""How many independent runs a share of runs with an outlier rests on."""

from __future__ import annotations

import numpy as np
import xarray as xr

INFORMATIVE = (0.1, 0.9)  # shares at which the variance between instances can be measured


def share_design_effect(course: xr.Dataset) -> float:
    """Largest design effect of the share of runs with an outlier over the cells of a sweep, at least 1.

    Starts of one instance are correlated: the variance of the share, with instances as units, is larger than
    that of as many independent runs. Each cell counts at the time when its share is nearest to 1/2, where
    this is known best. NaN if the share is near 0 or 1 at all times in all cells.

    Parameters
    ----------
    course
        ``outlier_share, outlier_share_error`` with dims ``N, alpha, time`` (one kind of start and fate), and
        ``runs`` with dims ``N, alpha``.
    """
    share = course["outlier_share"].transpose("N", "alpha", "time").values.astype(float)
    error = course["outlier_share_error"].transpose("N", "alpha", "time").values.astype(float)
    runs = course["runs"].transpose("N", "alpha").values.astype(float)
    nearest = np.where(np.isfinite(share), np.abs(share - 0.5), np.inf).argmin(-1)[..., None]
    p, e = (np.take_along_axis(values, nearest, -1)[..., 0] for values in (share, error))
    known = (p > INFORMATIVE[0]) & (p < INFORMATIVE[1]) & np.isfinite(e)
    if not known.any():
        return np.nan
    return max(1.0, float((e[known] ** 2 * runs[known] / (p[known] * (1 - p[known]))).max()))
