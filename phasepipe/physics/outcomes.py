"""Outcomes of a run (docs/explanation/physics.md §3). Values are part of the store format."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import xarray as xr


def unfinished(outcome: Any, end_time: Any, t_max: float) -> Any:
    """Which runs ended undecided at a time budget below ``t_max``, and can be continued; elementwise."""
    return (outcome == Outcome.UNDECIDED) & (end_time < t_max)


class Outcome(IntEnum):
    """Outcome of a run; ``PENDING`` marks a run that has not been computed.

    Members can be compared with the numbers in a dataset: ``(runs.outcome == pp.Outcome.RECOVERED).mean()``
    is the share of recovered runs. :meth:`names` converts numbers to names.
    """

    PENDING = 0  # not computed yet
    RECOVERED = 1  # |m| passed the recovery threshold
    TRAPPED = 2  # certified: the flow cannot leave the neighbourhood of a spurious minimum
    UNDECIDED = 3  # the time budget ended before any other outcome
    DIVERGED = 4  # not finite, or the step size collapsed: a numerical failure, not a trap

    @classmethod
    def names(cls, outcomes: Any) -> Any:
        """Names of outcomes, "recovered" for 1 and so on.

        Parameters
        ----------
        outcomes
            Numbers of outcomes, any shape: a DataArray, as ``runs.outcome``, or anything array-like.

        Returns
        -------
        DataArray like ``outcomes`` if that is a DataArray, otherwise an array of strings.

        Raises
        ------
        ValueError
            If a number is not an outcome.
        """
        numbers = np.asarray(outcomes)
        if not np.isin(numbers, list(cls)).all():
            raise ValueError(f"outcomes hold numbers other than {[int(member) for member in cls]}")
        names = np.array([member.name.lower() for member in cls])[numbers.astype(np.intp)]
        if isinstance(outcomes, xr.DataArray):
            return xr.DataArray(names, outcomes.coords, outcomes.dims, attrs={"long_name": "fate of the run"})
        return names
