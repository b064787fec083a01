"""Axes that the stores of a sweep share, and how they are divided into blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.execution.cluster import worker_memory
from phasepipe.execution.cost import instances_per_block
from phasepipe.specification.sweep import Sweep
from phasepipe.store.layout import Axis


def alpha_axis(sweep: Sweep, N: int) -> Axis:
    """Axis of alpha with one position per number of measurements; each alpha is a separate block."""
    M = np.array(sweep.measurements(N), np.int64)
    return Axis({"measurements": M, "alpha": M / N}, 1)


def instance_axis(sweep: Sweep, N: int) -> Axis:
    """Axis of instances, divided so that a block of runs takes a few seconds and fits into worker memory."""
    chunk = sweep.block_instances or instances_per_block(
        N,
        sweep.measurements(N),
        len(sweep.start_keys()),
        worker_memory(sweep.cluster),
        np.dtype(sweep.dtype).itemsize,
    )
    return Axis({"instance": np.arange(max(sweep.instances_at(N).values()))}, chunk)


def selected_cells(sweep: Sweep, N: int, instances: int) -> NDArray[np.bool_]:
    """Which of ``instances`` instances the sweep requests at each alpha, shape (alpha, instance)."""
    counts = sweep.instances_at(N)
    return np.arange(instances) < np.array([counts[M] for M in sweep.measurements(N)])[:, None]


def start_axis(sweep: Sweep) -> Axis:
    """Axis of starts; starts that are added to the sweep later form blocks of their own."""
    kinds, overlaps, numbers = zip(*sweep.start_keys(), strict=True)
    keys: dict[str, NDArray[Any]] = {
        "start_kind": np.array(kinds, np.uint8),
        "start_m0": np.array(overlaps, np.float64),
        "start_number": np.array(numbers, np.int64),
    }
    return Axis(keys, len(kinds))
