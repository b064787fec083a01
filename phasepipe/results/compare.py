"""Compare two results folders: same bits, same outcomes, statistically compatible, or different."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.analysis.agreement import adjusted, independent_p_values, paired_p_value
from phasepipe.analysis.counts import InstanceSums
from phasepipe.errors import UserError
from phasepipe.physics.outcomes import Outcome
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Status
from phasepipe.store.tables import open_store
from phasepipe.variables import ENGINE

_RUN = ("start_kind", "start_m0", "start_number")


class NothingInCommonError(UserError):
    """Two sweeps share no computed run."""


@dataclass(frozen=True)
class Comparison:
    """Comparison of the runs that two sweeps share.

    ``cells`` has one row per (N, alpha): runs, fates_differ, first and second (P(recovery) in each sweep),
    p_value, adjusted (for multiple testing).
    """

    verdict: str
    runs: int
    only_one: int
    bits_differ: int
    fates_differ: int
    paired: bool
    cells: pd.DataFrame


def compare(first: SweepFolder, second: SweepFolder, level: float) -> Comparison:
    """Compare the runs that both sweeps have computed.

    With equal seeds, both sweeps have the same instances, which are compared in pairs; otherwise the sweeps
    are compared as independent samples.

    Parameters
    ----------
    first, second
        Results folders.
    level
        Probability of calling equal sweeps different, over all cells (Holm correction).

    Raises
    ------
    NothingInCommonError
        If they share no run.
    """
    for folder in (first, second):
        folder.refuse_reduced()
    rows: list[dict[str, float]] = []
    bits = total = only_one = 0
    paired = True
    sizes = sorted(first.stores("runs").keys() & second.stores("runs").keys())
    for N in sizes:
        stores = [_runs(folder, N) for folder in (first, second)]
        here, there = xr.align(*stores, join="inner")
        seeds = [store.attrs["specification"]["seed"] for store in stores]
        paired &= seeds[0] == seeds[1]
        both = (here["status"] == Status.DONE) & (there["status"] == Status.DONE)
        computed = [int((store["status"] == Status.DONE).sum()) for store in stores]
        total += int(both.sum())
        only_one += sum(computed) - 2 * int(both.sum())
        if not both.any():
            continue
        bits += int((_other_bits(here, there) & both.values).sum())
        rows += _cells(N, here, there, both, seeds[0] == seeds[1])
    if not total:
        raise NothingInCommonError(
            f"{first.root} and {second.root} share no computed run; they need a common N, alpha and start"
        )
    cells = adjusted(pd.DataFrame(rows))
    fates = int(cells["fates_differ"].sum())
    if paired and not bits:
        verdict = "same bits"
    elif paired and not fates:
        verdict = "same fates"
    else:
        verdict = "different" if (cells["adjusted"] < level).any() else "statistically compatible"
    return Comparison(verdict, total, only_one, bits, fates, paired, cells)


def _runs(folder: SweepFolder, N: int) -> xr.Dataset:
    """Runs at one N, labelled by M, instance and start."""
    data = open_store(folder.store("runs", N))[["status", *ENGINE]].load()
    names = zip(*(data[key].values.tolist() for key in _RUN), strict=True)
    starts = [f"{kind}/{m0}/{number}" for kind, m0, number in names]
    data = data.drop_vars(_RUN).assign_coords(start=("start", starts))
    return data.swap_dims(alpha="measurements").drop_vars("alpha")


def _other_bits(here: xr.Dataset, there: xr.Dataset) -> np.ndarray:
    """Runs that differ in any bit of any array, including the records; shape of the runs."""
    differ = np.zeros(here["status"].shape, bool)
    for name in ENGINE:
        one, other = here[name].values, there[name].values
        same = (one == other) | ((one != one) & (other != other))
        differ |= ~same.reshape(*differ.shape, -1).all(axis=-1)
    return differ


def _cells(
    N: int, here: xr.Dataset, there: xr.Dataset, both: xr.DataArray, paired: bool
) -> list[dict[str, float]]:
    counted = both & (here["outcome"] != Outcome.DIVERGED) & (there["outcome"] != Outcome.DIVERGED)
    recovered = [
        ((data["outcome"] == Outcome.RECOVERED) & counted).sum("start").values for data in (here, there)
    ]
    runs = counted.sum("start").values
    sums = [InstanceSums.of(k, runs) for k in recovered]
    p_values = (
        [paired_p_value((a - b).astype(float)) for a, b in zip(*recovered, strict=True)]
        if paired
        else independent_p_values(*sums)
    )
    changed = ((here["outcome"] != there["outcome"]) & both).sum(("instance", "start")).values
    return [
        {
            "N": N,
            "alpha": M / N,
            "runs": int(runs[row].sum()),
            "fates_differ": int(changed[row]),
            "first": recovered[0][row].sum() / runs[row].sum(),
            "second": recovered[1][row].sum() / runs[row].sum(),
            "p_value": float(p_values[row]),
        }
        for row, M in enumerate(here["measurements"].values.tolist())
        if runs[row].sum()
    ]
