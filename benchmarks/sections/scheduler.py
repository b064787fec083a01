"""Ten thousand blocks through the Dask scheduler, with tasks that sleep instead of computing.

The workers are threads of one process: a sleeping worker needs no core, so a laptop can run hundreds.
Scheduler, client and workers share one core, so the measured rate is a lower bound for a scheduler with its
own core.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import dask
import numpy as np
import psutil
from distributed import Client, LocalCluster

from benchmarks.harness import Plan, Row, Table
from phasepipe.execution.blocks import BlockTask, compute_blocks
from phasepipe.execution.progress import reporting
from phasepipe.store.layout import Block

RUNS_PER_BLOCK = 100


def measure(plan: Plan) -> list[Table]:
    table = Table(
        "Sleeping blocks through compute_blocks",
        f"{RUNS_PER_BLOCK} runs a block. 'CPU' is of the one process that holds scheduler, client and "
        "workers; without sleep it is what a block costs besides its computation. 'full' is the share of "
        "the workers' time asleep.",
    )
    cases = ((4, 50, 0.02),) if plan.quick else ((16, 2000, 0.0), (64, 10_000, 0.3), (256, 10_000, 1.0))
    table.rows = [_measure(*case) for case in cases]
    return [table]


@dataclass(frozen=True)
class _Sleep:
    """Sleeps instead of computing a block."""

    seconds: float

    def __call__(self, block: Block) -> dict[str, int]:
        time.sleep(self.seconds)
        return {"recovered": block.count}


def _measure(workers: int, blocks: int, sleep: float) -> Row:
    compute = _Sleep(sleep)
    tasks = [
        BlockTask(
            Block(f"N64-{number}", (slice(number, number + 1),), np.ones(RUNS_PER_BLOCK, bool), {}),
            compute,
            float(blocks - number),
            f"block {number}",
        )
        for number in range(blocks)
    ]
    process = psutil.Process()
    with (
        dask.config.set({"distributed.admin.tick.limit": "1h", "distributed.worker.memory.terminate": False}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            dashboard_address=None,
            silence_logs=logging.ERROR,
            memory_limit=0,
        ) as cluster,
        Client(cluster) as client,
        reporting("sleep", blocks * RUNS_PER_BLOCK) as reporter,
    ):
        memory = process.memory_info().rss
        wall, cpu = time.perf_counter(), time.process_time()
        compute_blocks(client, tasks, reporter)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        grown = process.memory_info().rss - memory
        assert reporter.done == blocks * RUNS_PER_BLOCK
    return {
        "workers": workers,
        "blocks": blocks,
        "runs": blocks * RUNS_PER_BLOCK,
        "sleep, s": sleep,
        "seconds": wall,
        "blocks per second": blocks / wall,
        "CPU, ms per block": 1e3 * cpu / blocks,
        "full, per cent": 100 * blocks * sleep / workers / wall,
        "memory, KB per block": grown / blocks / 1e3,
    }
