"""Numbers for the interactive plots: success at every time budget, and time series of some runs.

Quantities are rounded to four digits and NaN becomes null, so that the report of a large sweep stays small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from phasepipe.physics.outcomes import Outcome
from phasepipe.specification.start_groups import StartGroup

TRAJECTORIES = 600  # runs in the report; 600 runs of 34 records and four quantities take about 0.6 MB
_QUANTITIES = ("overlap", "loss", "edge", "outlier")


def explorer_data(
    success: xr.Dataset, runs: dict[int, xr.Dataset], groups: list[StartGroup]
) -> dict[str, Any]:
    """Data for the script of the page, ready to be written as JSON.

    Parameters
    ----------
    success
        ``p``, ``lower``, ``upper`` (N, alpha, start_group, budget).
    runs
        The runs of every N, loaded lazily.
    groups
        Groups of starts, in the order of ``start_group``.
    """
    cells = sum(data.sizes["alpha"] for data in runs.values()) * len(groups)
    per_fate = int(np.clip(TRAJECTORIES // (2 * cells), 1, 4))
    return {
        "groups": [group.name for group in groups],
        "success": _success(success),
        "runs": [
            cell for N, data in runs.items() for group in groups for cell in _cells(N, data, group, per_fate)
        ],
    }


def _success(success: xr.Dataset) -> dict[str, Any]:
    table = success.transpose("start_group", "budget", "N", "alpha")
    return {
        "N": [int(N) for N in table["N"].values],
        "alpha": _numbers(table["alpha"].values),
        "budget": _numbers(table["budget"].values),
        **{name: _numbers(table[name].values) for name in ("p", "lower", "upper")},
    }


def _cells(N: int, data: xr.Dataset, group: StartGroup, per_fate: int) -> list[dict[str, Any]]:
    """For every alpha, the first ``per_fate`` runs that recovered and the first that did not."""
    chosen = group.select(data)
    outcomes = chosen["outcome"].values
    cells = []
    for row, alpha in enumerate(chosen["alpha"].values):
        recovered = np.argwhere(outcomes[row] == Outcome.RECOVERED)[:per_fate]
        others = np.argwhere(np.isin(outcomes[row], [Outcome.TRAPPED, Outcome.UNDECIDED]))[:per_fate]
        picked = np.concatenate([recovered, others])
        if not picked.size:
            continue
        instances, starts = (xr.DataArray(index, dims="run") for index in picked.T)
        names = [*_QUANTITIES, "outcome", "t_bbp", "recovery_time", "start_number"]
        some = chosen[names].isel(alpha=row, instance=instances, start=starts).load()
        cells.append(
            {
                "N": N,
                "alpha": _numbers(alpha),
                "group": group.position,
                "time": _numbers(some["time"].values),
                "runs": [_run(some.isel(run=index)) for index in range(some.sizes["run"])],
            }
        )
    return cells


def _run(run: xr.Dataset) -> dict[str, Any]:
    window = float(run["t_bbp"])
    return {
        "instance": int(run["instance"]),
        "start": int(run["start_number"]),
        "fate": Outcome(int(run["outcome"])).name.lower(),
        "t_bbp": _numbers(window),
        "outlier_lasts": bool(np.isinf(window)),
        "recovery_time": _numbers(run["recovery_time"].values),
        **{name: _numbers(run[name].transpose("time").values) for name in _QUANTITIES},
    }


def _numbers(values: ArrayLike) -> Any:
    """Nested lists of numbers with four digits; None for numbers that are not finite."""
    array = np.asarray(values, dtype=float)
    if array.ndim:
        return [_numbers(entry) for entry in array]
    return float(f"{array:.4g}") if np.isfinite(array) else None
