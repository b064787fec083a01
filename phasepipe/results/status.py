"""What a sweep has computed so far, and how long the rest will take; works while it is being written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from phasepipe.execution.cost import block_seconds
from phasepipe.physics.outcomes import Outcome
from phasepipe.specification.sweep import Sweep
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Status
from phasepipe.store.lock import holder
from phasepipe.store.tables import asked_runs, last_asked, open_store

_FIRST_ESTIMATE = 0.02  # share of a stage's work that has to be done before its rate is believed


@dataclass(frozen=True)
class Cell:
    """Counts of the runs at one N and alpha; ``probability`` is NaN before any run counts."""

    N: int
    alpha: float
    done: int
    pending: int
    diverged: int
    probability: float


@dataclass(frozen=True)
class Census:
    """State of a sweep. ``seconds_left`` is NaN unless runs are being computed at a known rate."""

    cells: list[Cell]
    bytes: int
    holders: dict[str, dict[str, Any]]
    seconds_left: float


def take_census(folder: SweepFolder) -> Census:
    """Count the runs that a sweep asks for, also at the N whose store is not begun.

    Raises
    ------
    StoreMismatchError
        If no store says what was asked for.
    DamagedStoreError
        If a store cannot be read, or a run counts as done and has no outcome.
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
    return Census(cells, _size(folder.root), _holders(folder), float(left))


def _cells(sweep: Sweep, N: int, stored: xr.Dataset | None) -> list[Cell]:
    """Counts at one N, alpha ascending; ``stored`` is None where the store is not begun."""
    starts = len(sweep.start_keys())
    asked = dict(sorted(sweep.instances_at(N).items()))
    codes = {M: np.empty(0, np.int64) for M in asked}
    if stored is not None:
        runs = asked_runs(stored[["status", "outcome"]], sweep, N).load()
        fates = np.where(runs["status"].values == Status.DONE, runs["outcome"].values, Outcome.PENDING)
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
    """When the process that is writing a store began, in seconds; infinite if none is."""
    owner = holder(store.with_suffix(".lock"))
    try:
        return datetime.fromisoformat(str(owner["since"])).timestamp() if owner else np.inf
    except ValueError:  # a lock that does not say since when
        return np.inf


def _share_since(store: Path, began: float) -> float:
    """Share of the finished blocks that were finished after ``began``: status is written last."""
    times = [file.stat().st_mtime for file in (store / "status" / "c").rglob("*") if file.is_file()]
    return float(np.mean([time >= began for time in times])) if times else 0.0


def _size(root: Path) -> int:
    total = 0
    for place, _, files in os.walk(root):
        for file in files:
            try:
                total += (Path(place) / file).stat().st_size
            except OSError:  # a draft that has been moved to its place, or a folder of somebody else
                continue
    return total
