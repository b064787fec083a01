"""Stage *descent*: computes the fate and the time series of every run of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.execution.blocks import BlockTask, Tally
from phasepipe.execution.cost import block_bytes, block_seconds
from phasepipe.execution.filling import Filling, fill_stores
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.problem import Problem
from phasepipe.simulation.draws import check_digests, chosen_keys, draw_problem, draw_starts
from phasepipe.simulation.prediction import window_end
from phasepipe.simulation.runs import run_instances
from phasepipe.specification.sweep import Sweep
from phasepipe.stages import instances
from phasepipe.stages.axes import alpha_axis, instance_axis, selected_cells, start_axis
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.block_store import write_block
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Block, Layout
from phasepipe.variables import ENGINE, PREDICTED, RUNS, SNAPSHOT

# one instance per Zarr chunk of snapshots, so that two blocks never write to the same chunk
_SNAPSHOT_CHUNK = {"snapshot_instance": 1}

Coordinate = tuple[tuple[str, ...], NDArray[np.generic], dict[str, Any]]


def layout(sweep: Sweep, N: int) -> Layout:
    """Layout of the runs store."""
    times = sweep.times()
    variables = dict(RUNS)
    sizes = {"time": len(times)}
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
        chunks=_SNAPSHOT_CHUNK,
        variables=variables,
        coordinates=coordinates,
        attributes=ATTRIBUTES,
    )


def snapshot_sizes(sweep: Sweep) -> dict[str, int]:
    """Number of instances, and of starts of each, whose points are stored."""
    return {
        "snapshot_instance": min(sweep.snapshots.instances, sweep.instances),
        "snapshot_start": min(sweep.snapshots.starts, len(sweep.start_keys())),
    }


def run_descent(sweep: Sweep, folder: SweepFolder, cores: int, log: Path | None = None) -> None:
    """Compute and store all runs of ``sweep`` that are not stored yet, and their instances.

    Raises the errors of :func:`phasepipe.execution.filling.fill_stores`.
    """
    fill_stores(sweep, [_filling(sweep, N, folder) for N in sweep.N], "runs", cores, log)


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
    M = int(block.keys["measurements"][0])
    todo, rows = block.todo[0], _rows(block)
    problems = [draw_problem(sweep, N, M, int(number)) for number in block.keys["instance"][rows]]
    known.check_or_store(sweep, problems, rows)
    points = [
        draw_starts(sweep, problem, chosen_keys(block.keys, todo[row]))
        for problem, row in zip(problems, rows, strict=True)
    ]
    kept = _kept(sweep, block)
    runs = run_instances(sweep, problems, points, sweep.protocol(), kept[block.todo])
    values = {name: runs[name].values for name in (*ENGINE, *PREDICTED)} | {"t_bbp": window_end(runs)}
    if kept.any():
        values["snapshot"] = runs["snapshot"].values
    write_block(path, block, values, {"snapshot": kept & block.todo})
    fates, counts = np.unique(runs["outcome"].values, return_counts=True)
    return {Outcome(fate).name.lower(): int(count) for fate, count in zip(fates, counts, strict=True)}


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
