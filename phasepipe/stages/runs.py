"""Stage *descent*: computes the fate and the time series of every run of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from phasepipe.execution.blocks import BlockTask, Tally
from phasepipe.execution.cost import block_bytes, block_seconds
from phasepipe.execution.filling import Filling, fill_stores
from phasepipe.physics.continuation import RunStates, no_states, state_length
from phasepipe.physics.outcomes import Outcome, unfinished
from phasepipe.physics.problem import Problem
from phasepipe.physics.record_times import nested_times
from phasepipe.physics.steps import records_passed
from phasepipe.simulation.draws import check_digests, chosen_keys, draw_problem, draw_starts
from phasepipe.simulation.prediction import window_end
from phasepipe.simulation.runs import run_instances
from phasepipe.specification.sweep import Sweep
from phasepipe.stages import instances
from phasepipe.stages.axes import alpha_axis, instance_axis, selected_cells, start_axis
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.block_store import is_written, write_block
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Block, Layout, Status
from phasepipe.store.opening import open_guarded
from phasepipe.variables import ENGINE, PREDICTED, RECORD, RUNS, SNAPSHOT, STATE

_LONGEST = 1e6  # chunks have room for records up to this time: a larger t_max adds none to finished blocks

Coordinate = tuple[tuple[str, ...], NDArray[np.generic], dict[str, Any]]


def layout(sweep: Sweep, N: int) -> Layout:
    """Layout of the runs store."""
    times = sweep.times()
    variables = dict(RUNS)
    sizes = {"time": len(times), "state_element": state_length(N)}
    # one instance per Zarr chunk of snapshots, so that two blocks never write to the same chunk
    chunks = {"snapshot_instance": 1, "time": _room(sweep, sweep.records_per_decade)}
    chunks["snapshot_time"] = snapshot_room(sweep)
    coordinates: dict[str, Coordinate] = {
        "N": ((), np.array(N), ATTRIBUTES["N"]),
        "time": (("time",), times, ATTRIBUTES["time"]),
    }
    if len(sweep.snapshot_indices()):
        variables["snapshot"] = SNAPSHOT
        kept = times[sweep.snapshot_indices()]
        coordinates["snapshot_time"] = (("snapshot_time",), kept, ATTRIBUTES["snapshot_time"])
        sizes |= snapshot_sizes(sweep) | {"snapshot_time": len(kept), "component": N}
    cells = instance_axis(sweep, N)
    return Layout(
        stage="runs",
        selected=selected_cells(sweep, N, len(cells)),
        axes={
            "alpha": alpha_axis(sweep, N),
            "instance": cells,
            "start": start_axis(sweep),
        },
        sizes=sizes,
        chunks=chunks,
        variables=variables,
        coordinates=coordinates,
        attributes=ATTRIBUTES,
        t_max=sweep.t_max,
        unfinished=partial(_unfinished, t_max=sweep.t_max),
    )


def snapshot_room(sweep: Sweep) -> int:
    """Length of a chunk along the times of snapshots."""
    return _room(sweep, sweep.snapshots.per_decade)


def _room(sweep: Sweep, per_decade: int) -> int:
    return len(nested_times(max(sweep.t_max, _LONGEST), per_decade))


def _unfinished(path: Path, t_max: float) -> NDArray[np.bool_]:
    runs = open_guarded(path)
    return np.asarray(unfinished(runs["outcome"].values, runs["end_time"].values, t_max))


def snapshot_sizes(sweep: Sweep) -> dict[str, int]:
    """Number of instances, and of starts of each, whose points are stored."""
    return {
        "snapshot_instance": min(sweep.snapshots.instances, sweep.instances),
        "snapshot_start": min(sweep.snapshots.starts, len(sweep.start_keys())),
    }


def run_descent(
    sweep: Sweep,
    folder: SweepFolder,
    cores: int,
    log: Path | None = None,
    client: Callable[[], Client] | None = None,
) -> None:
    """Compute and store all runs of ``sweep`` that are not stored yet, and their instances.

    ``client`` gives the client of a cluster that outlives this call. Raises the errors of
    :func:`phasepipe.execution.filling.fill_stores`.
    """
    fill_stores(sweep, [_filling(sweep, N, folder) for N in sweep.N], "runs", cores, log, client)


def compute_runs(sweep: Sweep, folder: SweepFolder, cores: int, log: Path | None = None) -> None:
    """Compute and store all runs of ``sweep``, with the rounds that its key ``precision`` asks for.

    Raises the errors of :func:`run_descent` and :func:`phasepipe.stages.steering.run_rounds`.
    """
    if sweep.precision is None:
        run_descent(sweep, folder, cores, log)
    else:
        from phasepipe.stages.steering import run_rounds  # its statistics take long to import

        run_rounds(sweep, folder, cores, log)


def _filling(sweep: Sweep, N: int, folder: SweepFolder) -> Filling:
    path = folder.store("runs", N)
    prerequisite = instances.filling(sweep, N, folder)
    # read once in this process: on the workers it would cost about 12 ms per block
    digests = cache(partial(instances.read_digests, prerequisite.path))

    def task(block: Block, to_store: Block | None) -> BlockTask:
        M = int(block.keys["measurements"][0])
        numbers = block.keys["instance"]
        description = f"runs at N = {N}, alpha = {M / N:.4g}, instances {numbers[0]} to {numbers[-1]}"
        instances_here, starts = block.todo[0].shape
        memory = block_bytes(N, M, starts, instances_here, np.dtype(sweep.dtype).itemsize)
        known = _Instances(prerequisite.path, digests(M)[numbers[_rows(block)]], to_store)
        compute = partial(_compute, path, known, sweep, N)
        return BlockTask(block, compute, block_seconds(N, M, block.count), description, memory)

    return Filling(f"runs N = {N}", path, layout(sweep, N), task, prerequisite)


@dataclass(frozen=True)
class _Instances:
    """The instances that a block of runs needs: their stored digests, and which are not stored yet."""

    path: Path
    digests: NDArray[np.uint64]
    pending: Block | None

    def check_or_store(self, sweep: Sweep, problems: list[Problem], rows: NDArray[np.intp]) -> None:
        """Check the digests of the stored ``problems`` and store the others; ``rows`` are their positions."""
        pending = np.zeros(len(rows), bool) if self.pending is None else self.pending.todo[0][rows]
        check_digests(self.digests[~pending], compress(problems, ~pending))
        if self.pending is not None:
            instances.store_instances(self.path, sweep, self.pending, compress(problems, pending))


def _rows(block: Block) -> NDArray[np.intp]:
    """Positions in a block of the instances with pending runs."""
    return np.flatnonzero(block.todo[0].any(axis=1))


def _compute(path: Path, known: _Instances, sweep: Sweep, N: int, block: Block) -> Tally:
    if is_written(path, block):
        return {}
    M = int(block.keys["measurements"][0])
    todo, rows = block.todo[0], _rows(block)
    problems = [draw_problem(sweep, N, M, int(number)) for number in block.keys["instance"][rows]]
    known.check_or_store(sweep, problems, rows)
    states = _stored_states(path, block, N)
    new = np.zeros(todo.shape, bool)
    new[todo] = np.isnan(states.scalars["time"])
    points = [
        _draw_new(sweep, problem, block, todo[row], new[row])
        for problem, row in zip(problems, rows, strict=True)
    ]
    kept = _kept(sweep, block)
    runs = run_instances(sweep, problems, points, sweep.protocol(), kept[block.todo], states)
    if not new[todo].all():
        runs = _with_earlier_records(path, block, runs, states, kept)
    values = {name: runs[name].values for name in (*ENGINE, *PREDICTED, *STATE)}
    values["t_bbp"] = window_end(runs)
    if kept.any():
        values["snapshot"] = runs["snapshot"].values
    write_block(path, block, values, {"snapshot": kept & block.todo})
    fates, counts = np.unique(runs["outcome"].values, return_counts=True)
    return {Outcome(fate).name.lower(): int(count) for fate, count in zip(fates, counts, strict=True)}


def _stored_states(path: Path, block: Block, N: int) -> RunStates:
    """States of the entries of a block to compute: of those that were done, and NaN for the others."""
    store = OpenedStore.at(path)
    done = (store.block_values("status", block) == Status.DONE)[block.todo]
    states = no_states(block.count, N)
    if done.any():
        states.vectors[done] = store.block_values("state", block)[block.todo][done]
    return states


def _draw_new(
    sweep: Sweep, problem: Problem, block: Block, todo: NDArray[np.bool_], new: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Starts of the runs ``todo`` (start,) of one instance; any point for those that are not ``new``."""
    points = np.ones((int(todo.sum()), problem.N))
    if new.any():
        points[new[todo]] = draw_starts(sweep, problem, chosen_keys(block.keys, new))
    return points


def _with_earlier_records(
    path: Path, block: Block, runs: xr.Dataset, states: RunStates, kept: NDArray[np.bool_]
) -> xr.Dataset:
    """The records and points of continued runs, preceded by those that are stored."""
    store, time = OpenedStore.at(path), states.scalars["time"]

    def earlier(times: xr.DataArray, of: NDArray[np.float64]) -> NDArray[np.bool_]:
        passed = np.where(np.isnan(of), 0, records_passed(times.values, of))
        return np.asarray(np.arange(times.size) < passed[:, None])

    whole: dict[str, Any] = {}
    before = earlier(runs["time"], time)
    for name, variable in (ENGINE | PREDICTED).items():
        if variable.dims == RECORD:
            stored = store.block_values(name, block)[block.todo]
            whole[name] = (RECORD, np.where(before, stored, runs[name].values))
    if kept.any():
        before = earlier(runs["snapshot_time"], time[kept[block.todo]])
        stored = store.block_values("snapshot", block)
        chosen = (kept & block.todo)[tuple(map(slice, stored.shape[:3]))]
        points = runs["snapshot"]
        whole["snapshot"] = (points.dims, np.where(before[..., None], stored[chosen], points.values))
    return runs.assign(whole)


def _kept(sweep: Sweep, block: Block) -> NDArray[np.bool_]:
    """Which runs of a block store their points, in the shape of the block."""
    kept = np.zeros(block.todo.shape, bool)
    if len(sweep.snapshot_indices()):
        limits = snapshot_sizes(sweep).values()
        inside = [
            np.arange(span.start, span.stop) < limit
            for span, limit in zip(block.region[1:], limits, strict=True)
        ]
        kept[0] = inside[0][:, None] & inside[1][None, :]
    return kept
