"""Stage *spectrum*: measured spectra of the Hessian at the snapshots, and their prediction from labels."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phasepipe.errors import UserError
from phasepipe.execution.blocks import BlockTask, Tally
from phasepipe.execution.cost import point_seconds
from phasepipe.execution.filling import Filling, fill_stores
from phasepipe.physics.steps import records_passed
from phasepipe.simulation.draws import draw_problem
from phasepipe.simulation.spectra import EIGENPAIRS, GRID, spectra_at
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.axes import alpha_axis, selected_cells
from phasepipe.stages.runs import snapshot_room, snapshot_sizes
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.block_store import is_written, write_block
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Axis, Block, Layout
from phasepipe.store.opening import open_guarded
from phasepipe.variables import SPECTRA

Float = NDArray[np.float64]


class NoSnapshotsError(UserError):
    """Spectra were requested from a sweep that stores no points."""


def layout(sweep: Sweep, N: int) -> Layout:
    """Layout of the spectra store; entries after the end of a run are NaN.

    Raises
    ------
    NoSnapshotsError
        If the sweep stores no snapshots.
    """
    kept = sweep.times()[sweep.snapshot_indices()]
    if len(kept) == 0:
        raise NoSnapshotsError(
            f"sweep {sweep.name!r} stores no snapshots, which the spectra need; "
            "set for example snapshots: {instances: 4, starts: 4}"
        )
    sizes = snapshot_sizes(sweep)
    return Layout(
        stage="spectra",
        selected=selected_cells(sweep, N, sizes["snapshot_instance"]),
        axes={
            "alpha": alpha_axis(sweep, N),
            "instance": Axis({"instance": np.arange(sizes["snapshot_instance"])}, 1),
        },
        sizes={
            "start": sizes["snapshot_start"],
            "time": len(kept),
            "eigenvalue": EIGENPAIRS,
            "mode": N - 1,
            "grid": GRID,
        },
        variables=SPECTRA,
        chunks={"time": snapshot_room(sweep)},
        coordinates={"N": ((), np.array(N), ATTRIBUTES["N"]), "time": (("time",), kept, ATTRIBUTES["time"])},
        attributes=ATTRIBUTES,
        t_max=sweep.t_max,
    )


def diagonalise_snapshots(sweep: Sweep, folder: SweepFolder, cores: int, log: Path | None = None) -> None:
    """Compute and store all spectra of ``sweep`` that are not stored yet.

    Raises
    ------
    NoSnapshotsError
        If the sweep stores no snapshots.
    """
    fill_stores(sweep, [_filling(sweep, N, folder) for N in sweep.N], "spectra", cores, log)


def _filling(sweep: Sweep, N: int, folder: SweepFolder) -> Filling:
    path = folder.store("spectra", N)
    compute = partial(_compute, path, folder.store("runs", N), sweep, N)

    def task(block: Block, _: Block | None) -> BlockTask:
        M = int(block.keys["measurements"][0])
        description = f"spectra at N = {N}, alpha = {M / N:.4g}, instance {block.keys['instance'][0]}"
        return BlockTask(block, compute, block.count * point_seconds(N, M), description)

    runs = folder.store("runs", N)
    return Filling(
        f"spectra N = {N}", path, replace(layout(sweep, N), unfinished=partial(_unfinished, runs=runs)), task
    )


def _unfinished(path: Path, runs: Path) -> NDArray[np.bool_]:
    """Instances with points that were stored after their spectra were computed, shape (alpha, instance)."""
    spectra, stored = open_guarded(path), open_guarded(runs)
    rows = [
        int(np.flatnonzero(stored["measurements"].values == M)[0]) for M in spectra["measurements"].values
    ]
    ends = stored["end_time"].isel(alpha=rows).values
    ends = ends[:, : spectra.sizes["instance"], : spectra.sizes["start"]]
    points = np.where(np.isnan(ends), 0, records_passed(spectra["time"].values, ends))
    return np.asarray((points > np.isfinite(spectra["overlap"].values).sum(axis=-1)).any(axis=-1))


def _compute(path: Path, runs: Path, sweep: Sweep, N: int, block: Block) -> Tally:
    if is_written(path, block):
        return {}
    M, instance = int(block.keys["measurements"][0]), int(block.keys["instance"][0])
    problem = draw_problem(sweep, N, M, instance)
    points = _snapshots(runs, M, instance)
    shape = points.shape[:2]
    flat = points.reshape(-1, N)
    alive = np.isfinite(flat).all(axis=1)  # after the end of a run there are no points
    measured = spectra_at(problem, sweep.loss.build(), flat[alive])
    values = {}
    for name, rows in measured.items():
        whole = np.full((len(flat), *rows.shape[1:]), np.nan)
        whole[alive] = rows
        values[name] = whole.reshape(1, *shape, *rows.shape[1:])
    write_block(path, block, values)
    return {"spectra": int(alive.sum())}


def _snapshots(runs: Path, M: int, instance: int) -> NDArray[np.float32]:
    """Points of one instance, shape (start, time, N)."""
    group: Any = zarr.open_group(str(runs), mode="r")
    row = int(np.flatnonzero(group["measurements"][:] == M)[0])
    return np.asarray(group["snapshot"][row, instance])
