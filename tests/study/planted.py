"""Artificial reduced sweeps with known answers."""

import numpy as np
import xarray as xr

from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.start_kinds import StartKind


def planted_counts(midpoints, runs=400, seed=0):
    """Counts of independent runs whose success curves have these values of alpha_50, by N."""
    rng = np.random.default_rng(seed)
    offsets = np.array([-0.6, -0.3, 0.0, 0.3, 0.6])
    sizes = []
    for middle in midpoints.values():
        p = 1 / (1 + np.exp(-offsets / 0.15))
        recovered = rng.random((len(offsets), 1, runs)) < p[:, None, None]
        sizes.append(
            xr.Dataset(
                {
                    "recovered": (("alpha", "start_group", "instance"), recovered.astype(np.uint16)),
                    "runs": (("alpha", "start_group", "instance"), np.ones(recovered.shape, np.uint16)),
                },
                {"alpha": np.round(middle + offsets, 6)},
            )
        )
    counts = xr.concat(sizes, "N", join="outer", fill_value=0).assign_coords(
        N=list(midpoints),
        start_kind=("start_group", [int(StartKind.RANDOM)]),
        start_m0=("start_group", [np.nan]),
    )
    return counts.assign_attrs(
        specification={"loss": {"kind": "normalised_quartic", "a": 0.01}}, asked={"t_max": 1000.0}
    )


def planted_times(counts, late, t_max=1000.0, trapped=True, seed=0):
    """Recovery times for planted counts: tables of a sweep.

    A share ``late`` of the recoveries comes after t = 100; times follow (1 + t)^-gamma. Without
    ``trapped`` the runs that do not recover are undecided.
    """
    gamma = -np.log(late) / np.log(101)
    rng = np.random.default_rng(seed)
    run = counts["runs"].values[..., None] > 0
    time = rng.random(run.shape) ** (-1 / gamma) - 1
    recovered = (counts["recovered"].values[..., None] > 0) & (time <= t_max)
    never = Outcome.TRAPPED if trapped else Outcome.UNDECIDED
    lost = (counts["recovered"].values[..., None] > 0) & ~recovered
    kind = np.where(recovered, Outcome.RECOVERED, np.where(lost, Outcome.UNDECIDED, never))
    dims = (*counts["runs"].dims, "start")
    recovery = {
        "outcome": (dims, np.where(run, kind, Outcome.PENDING).astype(np.uint8)),
        "recovery_time": (dims, np.where(recovered, time, np.nan)),
        "end_time": (dims, np.select([recovered, kind == Outcome.TRAPPED], [time, 50.0], t_max)),
    }
    undecided = (recovery["outcome"][1] == Outcome.UNDECIDED).sum(-1)
    ended = counts.assign(recovered=(dims[:-1], recovered.sum(-1)), undecided=(dims[:-1], undecided))
    return {"counts": ended, "recovery": xr.Dataset(recovery, counts.coords)}
