"""Artificial reduced sweeps with known answers."""

import numpy as np
import xarray as xr

from phasepipe.physics.starts import StartKind


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
    return counts.assign_attrs(specification={"loss": {"kind": "normalised_quartic", "a": 0.01}})
