"""Stage *instances*: signals, labels and digests of the sensing matrices of a sweep.

The sensing matrix itself is stored only on request. It is regenerated from its random key where it is needed,
and its digest proves that it is the same matrix. Because a draw costs as much as several evaluations of the
gradient, the stage *descent* also stores the instances that it draws for its runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phasepipe.execution.blocks import BlockTask, Tally
from phasepipe.execution.filling import Filling, fill_stores
from phasepipe.physics.problem import Problem
from phasepipe.simulation.draws import draw_problem
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.axes import alpha_axis, instance_axis, selected_cells
from phasepipe.store.attributes import ATTRIBUTES
from phasepipe.store.block_store import is_written, write_block
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Block, Layout
from phasepipe.variables import INSTANCES


def layout(sweep: Sweep, N: int) -> Layout:
    """Layout of the instances store. Labels are padded with NaN to the largest number of measurements."""
    largest = max(sweep.measurements(N))
    variables = {
        name: variable for name, variable in INSTANCES.items() if name != "sensing" or sweep.store_sensing
    }
    cells = instance_axis(sweep, N)
    return Layout(
        stage="instances",
        selected=selected_cells(sweep, N, len(cells)),
        axes={"alpha": alpha_axis(sweep, N), "instance": cells},
        sizes={"component": N, "measurement": largest},
        variables=variables,
        coordinates={"N": ((), np.array(N), ATTRIBUTES["N"])},
        attributes=ATTRIBUTES,
    )


def draw_instances(sweep: Sweep, folder: SweepFolder, cores: int, log: Path | None = None) -> None:
    """Draw and store all instances of ``sweep`` that are not stored yet.

    Raises the errors of :func:`phasepipe.execution.filling.fill_stores`.
    """
    fill_stores(sweep, [filling(sweep, N, folder) for N in sweep.N], "instances", cores, log)


def filling(sweep: Sweep, N: int, folder: SweepFolder) -> Filling:
    """The instances store at one N, and how to compute its blocks."""
    path = folder.store("instances", N)
    compute = partial(_compute, path, sweep, N)

    def task(block: Block, _: Block | None) -> BlockTask:
        M = int(block.keys["measurements"][0])
        description = f"instances at N = {N}, alpha = {M / N:.4g}"
        return BlockTask(block, compute, float(M * N * block.count), description)

    return Filling(f"instances N = {N}", path, layout(sweep, N), task)


def store_instances(path: Path, sweep: Sweep, block: Block, problems: Iterable[Problem]) -> None:
    """Write the pending instances of a block; ``problems`` are these instances in the order of the block."""
    # one problem at a time, because a sensing matrix is large and only its digest is kept
    drawn: list[dict[str, NDArray[np.generic]]] = []
    for problem in problems:
        entry: dict[str, NDArray[np.generic]] = {
            "signal": problem.signal,
            "labels": problem.labels,
            "digest": np.asarray(problem.digest()),
        }
        if sweep.store_sensing:
            entry["sensing"] = problem.sensing
        drawn.append(entry)
    write_block(path, block, {name: np.stack([entry[name] for entry in drawn]) for name in drawn[0]})


def _compute(path: Path, sweep: Sweep, N: int, block: Block) -> Tally:
    if is_written(path, block):
        return {}
    M = int(block.keys["measurements"][0])
    numbers = block.keys["instance"][block.todo[0]].tolist()
    store_instances(path, sweep, block, (draw_problem(sweep, N, M, number) for number in numbers))
    return {"drawn": len(numbers)}


def read_digests(path: Path, M: int) -> NDArray[np.uint64]:
    """Digests of the sensing matrices with ``M`` measurements in the store ``path``, shape (instance,)."""
    group: Any = zarr.open_group(str(path), mode="r")
    row = int(np.flatnonzero(group["measurements"][:] == M)[0])
    return np.asarray(group["digest"][row])
