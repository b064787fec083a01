"""What a sweep has computed so far, and how long the rest will take; works while it is being written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from phasepipe.physics.outcomes import Outcome
from phasepipe.pipeline.blocks import evaluation_seconds
from phasepipe.pipeline.folders import SweepFolder
from phasepipe.pipeline.lock import holder
from phasepipe.pipeline.sweep import Sweep
from phasepipe.pipeline.tables import asked_runs, open_store
from phasepipe.stages.grid import selected_cells

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
    """Count the runs of all N that a sweep asks for."""
    cells: list[Cell] = []
    pending_cost, recent_cost, since = 0.0, 0.0, np.inf
    for N, path in folder.stores("runs").items():
        data = open_store(path)[["status", "outcome"]]
        counted = np.ones(data["status"].shape[:2], bool)
        if "asked" in data.attrs:
            sweep = Sweep.model_validate(data.attrs["asked"])
            data = asked_runs(data, sweep, N)
            asked = selected_cells(sweep, N, data.sizes["instance"])
            order = np.argsort(sweep.measurements(N))
            counted = asked[order]
        data = data.load()
        began = _began(path)
        since = min(since, began)
        per_run = np.array([evaluation_seconds(N, int(M)) for M in data["measurements"].values])
        done = (data["status"].values == 1) & counted[..., None]
        open_runs = (data["status"].values == 0) & counted[..., None]
        pending_cost += float(per_run @ open_runs.sum((1, 2)))
        if np.isfinite(began):
            recent_cost += _share_since(path, began) * float(per_run @ done.sum((1, 2)))
        fates = np.where(done, data["outcome"].values, Outcome.PENDING)
        for row, alpha in enumerate(data["alpha"].values.tolist()):
            counts = np.bincount(fates[row].ravel(), minlength=max(Outcome) + 1)
            valid = int(counts[[Outcome.RECOVERED, Outcome.TRAPPED, Outcome.UNDECIDED]].sum())
            share = counts[Outcome.RECOVERED] / valid if valid else np.nan
            cells.append(
                Cell(N, alpha, int(done[row].sum()), int(open_runs[row].sum()), int(counts[Outcome.DIVERGED]),
                     float(share))
            )  # fmt: skip
    left = np.nan
    if recent_cost > _FIRST_ESTIMATE * pending_cost and np.isfinite(since):
        left = pending_cost * (datetime.now().timestamp() - since) / recent_cost
    return Census(cells, _size(folder.root), _holders(folder), float(left))


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
            except FileNotFoundError:  # a draft that has been moved to its place
                continue
    return total
