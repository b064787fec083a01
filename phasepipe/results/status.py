"""Progress of a sweep and an estimate of the remaining time; can be used while the sweep is running."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.analysis.rounds_text import progress
from phasepipe.execution.cost import block_seconds
from phasepipe.physics.outcomes import Outcome, unfinished
from phasepipe.specification.sweep import Sweep
from phasepipe.store.block_store import REACHED
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Status
from phasepipe.store.lock import holder
from phasepipe.store.records import read_records
from phasepipe.store.rounds import TABLE
from phasepipe.store.tables import asked_runs, last_asked, open_store

_FIRST_ESTIMATE = 0.02  # share of the work that must be done before the remaining time is estimated


@dataclass(frozen=True)
class Cell:
    """Counts of the runs at one N and alpha; ``probability`` is NaN while there are no valid runs."""

    N: int
    alpha: float
    done: int
    pending: int
    diverged: int
    probability: float


@dataclass(frozen=True)
class Census:
    """State of a sweep. ``seconds_left`` is NaN unless runs are being computed at a known rate.

    ``rounds`` says how far the rounds of the key ``precision`` are; empty without the key.
    """

    cells: list[Cell]
    bytes: int
    holders: dict[str, dict[str, Any]]
    seconds_left: float
    rounds: str


def take_census(folder: SweepFolder) -> Census:
    """Count the requested runs of a sweep, also at N whose store does not exist yet.

    Raises
    ------
    StoreMismatchError
        If no store contains the requested specification.
    DamagedStoreError
        If a store cannot be read, or a run that is marked as done has no outcome.
    """
    stores = {N: open_store(path) for N, path in folder.stores("runs").items()}
    instances = (open_store(path) for path in folder.stores("instances").values())
    sweep = last_asked(data.attrs for data in (*stores.values(), *instances))
    cells: list[Cell] = []
    pending_work, recent_work, since = 0.0, 0.0, np.inf
    for N in sorted(sweep.N):
        found = _cells(sweep, N, stores.get(N))
        cells += found
        work = np.array([block_seconds(N, round(cell.alpha * N), 1) for cell in found])
        pending_work += float(work @ [cell.pending for cell in found])
        began = _began(folder.store("runs", N))
        if np.isfinite(began):
            since = min(since, began)
            share = _share_since(folder.store("runs", N), began)
            recent_work += share * float(work @ [cell.done for cell in found])
    left = np.nan
    if pending_work and recent_work > _FIRST_ESTIMATE * pending_work:
        left = pending_work * (datetime.now().timestamp() - since) / recent_work
    return Census(cells, _size(folder.root), _holders(folder), float(left), _rounds(sweep, folder))


def _rounds(sweep: Sweep, folder: SweepFolder) -> str:
    if sweep.precision is None:
        return ""
    if not folder.table(TABLE).exists():
        return "the grid comes first, rounds follow"
    return progress(open_store(folder.table(TABLE)))


def _cells(sweep: Sweep, N: int, stored: xr.Dataset | None) -> list[Cell]:
    """Counts at one N, alpha ascending; ``stored`` is None if the store does not exist yet."""
    starts = len(sweep.start_keys())
    asked = dict(sorted(sweep.instances_at(N).items()))
    codes = {M: np.empty(0, np.int64) for M in asked}
    if stored is not None:
        complete = stored.attrs.get(REACHED) == sweep.t_max  # then do not read the end times
        runs = asked_runs(stored[["status", "outcome", *([] if complete else ["end_time"])]], sweep, N).load()
        done = runs["status"] == Status.DONE
        if not complete:
            done &= ~unfinished(runs["outcome"], runs["end_time"], sweep.t_max)
        fates = np.where(done.values, runs["outcome"].values, Outcome.PENDING)
        for row, M in enumerate(runs["measurements"].values.tolist()):
            codes[M] = fates[row, runs["instance"].values < asked[M]].ravel()
    return [_cell(N, M, count * starts, codes[M]) for M, count in asked.items()]


def _cell(N: int, M: int, asked: int, fates: NDArray[np.int64]) -> Cell:
    counts = np.bincount(fates, minlength=max(Outcome) + 1)
    done = int(counts.sum() - counts[Outcome.PENDING])
    valid = done - int(counts[Outcome.DIVERGED])
    probability = counts[Outcome.RECOVERED] / valid if valid else np.nan
    return Cell(N, M / N, done, asked - done, int(counts[Outcome.DIVERGED]), float(probability))


def _holders(folder: SweepFolder) -> dict[str, dict[str, Any]]:
    found = {str(path.relative_to(folder.root)): holder(path) for path in folder.root.glob("*/N*.lock")}
    return {name: owner for name, owner in found.items() if owner is not None}


def _began(store: Path) -> float:
    """Start of the process that is writing a store, as a timestamp in seconds; infinite if there is none."""
    owner = holder(store.with_suffix(".lock"))
    try:
        return datetime.fromisoformat(str(owner["since"])).timestamp() if owner else np.inf
    except ValueError:  # a lock without a valid start time
        return np.inf


def _share_since(store: Path, began: float) -> float:
    """Share of the finished blocks that were finished after ``began``."""
    times = [record["written"] for record in read_records(store).values() if "written" in record]
    return float(np.mean([time >= began for time in times])) if times else 0.0


def _size(root: Path) -> int:
    total = 0
    for place, _, files in os.walk(root):
        for file in files:
            try:
                total += (Path(place) / file).stat().st_size
            except OSError:  # a draft that was renamed meanwhile, or a folder of another user
                continue
    return total
