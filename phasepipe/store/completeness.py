"""Nothing is aggregated over a hole: every run that the sweep asks for is there, or the cells are named."""

from __future__ import annotations

import xarray as xr

from phasepipe.errors import UserError
from phasepipe.specification.sweep import Sweep
from phasepipe.store.layout import Status

_NAMED = 5  # cells in the message


class IncompleteError(UserError):
    """Runs that the sweep asks for are missing; the message names their cells."""


def require_complete(sweep: Sweep, N: int, runs: xr.Dataset) -> None:
    """Refuse runs with holes.

    Parameters
    ----------
    sweep, N
        What is asked for.
    runs
        As from :func:`~phasepipe.store.tables.read_runs`, with ``status``.

    Raises
    ------
    IncompleteError
        If a run that the sweep asks for is not computed.
    """
    asked, starts = sweep.instances_at(N), len(sweep.start_keys())
    missing = {M / N: count * starts for M, count in asked.items()}
    for row, M in enumerate(runs["measurements"].values.tolist()):
        cell = runs["status"].isel(alpha=row, instance=runs["instance"].values < asked[M])
        missing[M / N] -= int((cell == Status.DONE).sum())
    holes = {alpha: count for alpha, count in sorted(missing.items()) if count}
    if holes:
        cells = ", ".join(f"alpha = {alpha:.4g} ({count})" for alpha, count in list(holes.items())[:_NAMED])
        more = f" and {len(holes) - _NAMED} more cells" if len(holes) > _NAMED else ""
        raise IncompleteError(
            f"{sum(holes.values())} of {sum(asked.values()) * starts} runs at N = {N} are not computed, at "
            f"{cells}{more}; run the workflow again"
        )
