"""Repeats runs of a finished sweep exactly, optionally with more records and stored points.

The bits of a run do not depend on the other runs of its batch, so it is run again alone. Records are
interpolated between accepted steps; more of them do not change the trajectory. Neither holds on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.physics.problem import Problem
from phasepipe.physics.record_times import record_times
from phasepipe.simulation.draws import check_digests, chosen_keys, draw_problem, draw_starts
from phasepipe.simulation.prediction import window_end
from phasepipe.simulation.runs import run_instances
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.instances import read_digests
from phasepipe.store.folder import SweepFolder
from phasepipe.variables import ENGINE, PREDICTED, RECORD, RUN, WINDOW_END

_START_KEYS = ("start_kind", "start_m0", "start_number")
_SAME = 1e-9  # relative difference below which two record times are equal


def stored_problem(sweep: Sweep, folder: SweepFolder, N: int, M: int, instance: int) -> Problem:
    """Draw an instance again and check with its digest that it is the stored one.

    Raises
    ------
    InstanceMismatchError
        If this version of NumPy draws another sensing matrix.
    """
    problem = draw_problem(sweep, N, M, instance)
    check_digests(read_digests(folder.store("instances", N), M)[[instance]], [problem])
    return problem


def repeat_run(
    sweep: Sweep,
    folder: SweepFolder,
    stored: xr.Dataset,
    start: int,
    records_per_decade: int | None = None,
    snapshots: bool | Sequence[float] = False,
) -> xr.Dataset:
    """Run one start of one instance again, alone.

    Parameters
    ----------
    sweep, folder
        The sweep and the folder of its results.
    stored
        The stored runs at one N, alpha and instance, dimensions (start, time).
    start
        Position of the run in ``stored``.
    records_per_decade
        Record times per factor of ten, in addition to those of the sweep.
    snapshots
        Times at which the point w(t) is stored (they become record times), or True for all record times.

    Returns
    -------
    Dataset with dimensions (time,) and, with snapshots, (snapshot_time, component). The attribute
    ``repeats_stored_bits`` is "yes", or names the variables that differ from ``stored``.

    Raises
    ------
    InstanceMismatchError
        If this version of NumPy draws another sensing matrix.
    ValueError
        If a snapshot time lies outside [0, t_max], or ``records_per_decade`` is not positive.
    """
    N, M, instance = (int(stored[name]) for name in ("N", "measurements", "instance"))
    only_this = np.arange(stored.sizes["start"]) == start
    problem = stored_problem(sweep, folder, N, M, instance)
    points = draw_starts(
        sweep, problem, chosen_keys({name: stored[name].values for name in _START_KEYS}, only_this)
    )
    wanted = () if isinstance(snapshots, bool) else tuple(snapshots)
    times = _merged(sweep.times(), sweep.t_max, records_per_decade, wanted)
    kept = np.arange(len(times)) if snapshots is True else np.flatnonzero(_near(times, np.array(wanted)))
    protocol = replace(sweep.protocol(), times=times, snapshots=kept)
    runs = run_instances(sweep, [problem], [points], protocol, np.ones(1, bool))
    at_stored = runs.isel(time=np.flatnonzero(np.isin(times, sweep.times())))
    run = runs.isel(start=0)
    if len(kept):
        run = run.isel(snapshot_run=0, drop=True)
    # t_BBP is interpolated between records, so only the records of the sweep reproduce the stored value
    run["t_bbp"] = ((), window_end(at_stored)[0], WINDOW_END["t_bbp"].attributes())
    again = run.isel(time=np.flatnonzero(np.isin(times, sweep.times())))
    labels = {name: stored[name].isel(start=start) for name in ("start", *_START_KEYS) if name in stored}
    run = run.assign_coords(
        {name: stored[name] for name in ("N", "alpha", "measurements", "instance")} | labels
    )
    return run.assign_attrs(repeats_stored_bits=_compare_bits(again, stored.isel(start=start)))


def _near(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.bool_]:
    close = np.isclose(times[:, None], wanted[None, :], rtol=_SAME, atol=0)
    return np.asarray(close.any(axis=1))


def _merged(
    stored: NDArray[np.float64], t_max: float, per_decade: int | None, wanted: Sequence[float]
) -> NDArray[np.float64]:
    """The unchanged stored record times together with additional ones."""
    outside = [time for time in wanted if not 0 <= time <= t_max]
    if outside:
        raise ValueError(f"snapshot time {outside[0]:g} lies outside [0, t_max = {t_max:g}] of the sweep")
    more = np.array(sorted(wanted))
    if per_decade is not None:
        if per_decade < 1:
            raise ValueError(f"records_per_decade = {per_decade} is not positive; set it for example to 32")
        dense = record_times(t_max, per_decade)
        more = np.concatenate([more, dense[~_near(dense, more)]])
    return np.sort(np.concatenate([stored, np.unique(more[~_near(more, stored)])]))


def _compare_bits(again: xr.Dataset, stored: xr.Dataset) -> str:
    names = [name for name, variable in ENGINE.items() if variable.dims in (RUN, RECORD)]
    different = [
        name
        for name in (*names, *PREDICTED, *WINDOW_END)
        if not np.array_equal(again[name].values, stored[name].values, equal_nan=True)
    ]
    return f"no: {', '.join(different)} differ" if different else "yes"
