"""The runs of a grid that may grow, and what a further run costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.refinement import Cost
from phasepipe.execution.cost import evaluation_seconds
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.problem import measurement_count
from phasepipe.specification.start_groups import start_groups
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Status
from phasepipe.store.tables import read_runs

_READ = ("status", "outcome", "recovery_time", "end_time", "evaluations")


def core_seconds_per_run(sweep: Sweep, folder: SweepFolder) -> Cost:
    """Estimated core-seconds of one more run of the first kind of start, as a function of N and alpha.

    Gradient evaluations are those of the stored runs, interpolated in alpha; the time of one comes from
    :func:`~phasepipe.execution.cost.evaluation_seconds`, so that every machine estimates the same. Every
    instance also runs the starts of the other kinds, which is included.
    """
    evaluations = {N: _evaluations(sweep, folder, N) for N in sweep.N}
    share = len(sweep.start_keys()) / sweep.starts[start_groups(sweep)[0].position].count

    def core_seconds(N: int, alpha: float) -> float:
        known = evaluations[N]
        count = float(np.interp(alpha, known.index.to_numpy(float), known.to_numpy(float)))
        return share * count * evaluation_seconds(N, measurement_count(N, alpha))

    return core_seconds


def runs_of_grid(sweep: Sweep, folder: SweepFolder, N: int) -> xr.Dataset:
    """Fate, times and evaluations of exactly the runs that the sweep requests at ``N``.

    Instances that a cell holds beyond those count as pending: what follows from a grid does not depend on
    what later rounds have added to its cells.
    """
    runs = read_runs(folder, sweep, N)[list(_READ)].load()
    asked = sweep.instances_at(N)
    counts = xr.DataArray([asked[M] for M in runs["measurements"].values.tolist()], dims="alpha")
    inside = runs["instance"] < counts
    return runs.assign(
        outcome=runs["outcome"].where(inside, Outcome.PENDING).astype(np.uint8),
        status=runs["status"].where(inside, Status.PENDING).astype(np.uint8),
    )


def _evaluations(sweep: Sweep, folder: SweepFolder, N: int) -> pd.Series[float]:
    """Mean number of gradient evaluations per run, indexed by alpha."""
    runs = runs_of_grid(sweep, folder, N)
    mean = runs["evaluations"].where(runs["status"] == Status.DONE).mean(("instance", "start"))
    return mean.to_series().sort_index()
