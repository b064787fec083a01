"""Two Dask workers compared with one, in the stage that runs the descent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from distributed import Client

from benchmarks.harness import Plan, Row, Samples, Table, clock
from phasepipe.execution.cluster import connect, write_scheduler_file
from phasepipe.specification.cluster import LocalCluster
from phasepipe.specification.configuration import load_sweep
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import run_descent
from phasepipe.store.folder import SweepFolder

# Number of instances, and target of the speed-up. The instances keep one worker busy for most of a minute in
# about thirty blocks, so that the idle time of one of two workers during the last block is small.
CASES = {256: (96, 1.8), 512: (36, 1.8), 1024: (14, 1.6)}


def measure(plan: Plan) -> list[Table]:
    table = Table(
        "Stage descent on one and on two workers, a = 0.01, alpha = 2.5, 3 and 3.5, 16 starts, t_max = 60",
        "Stores prepared, blocks computed and written; the workers are held open, one set after the other "
        "in every turn. CPU seconds are those of the workers: where two need more than one, they share "
        "caches and memory.",
    )
    cases = {32: (4, 1.0)} if plan.quick else CASES
    with connect(LocalCluster(workers=1)) as one, connect(LocalCluster(workers=2)) as two:
        two.wait_for_workers(2, timeout=60)
        for N, (instances, target) in cases.items():
            table.rows.append(_measure(N, instances, target, {1: one, 2: two}, plan))
    return [table]


def _measure(N: int, instances: int, target: float, clients: dict[int, Client], plan: Plan) -> Row:
    wall: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    load = []
    for turn in range(plan.rounds(2)):
        for workers in (1, 2) if turn % 2 == 0 else (2, 1):
            load.append(os.getloadavg()[0])
            seconds, busy = _stage(N, instances, clients[workers])
            wall[workers].append(seconds)
            cpu[workers].append(busy)
    samples = {workers: Samples(np.array(wall[workers]), np.array(cpu[workers])) for workers in (1, 2)}
    return {
        "N": N,
        "runs": instances * 3 * 16,
        "seconds, one": samples[1].seconds,
        "seconds, two": samples[2].seconds,
        "speed-up": samples[1].over(samples[2]),
        "target": target,
        "CPU seconds, one": float(np.median(cpu[1])),
        "CPU seconds, two": float(np.median(cpu[2])),
        "CPU / wall, two": float(np.median(samples[2].cpu / samples[2].wall)),
        "load average": float(np.mean(load)),
    }


def _stage(N: int, instances: int, client: Client) -> tuple[float, float]:
    """Wall seconds of the stage on an empty store, and CPU seconds of its workers."""
    with tempfile.TemporaryDirectory() as scratch:
        scheduler = Path(scratch) / "scheduler.json"
        write_scheduler_file(client, scheduler)
        settings = {
            "loss": {"kind": "normalised_quartic", "a": 0.01},
            "N": [N],
            "alpha": [2.5, 3.0, 3.5],
            "instances": instances,
            "starts": [{"kind": "random", "count": 16}],
            "t_max": 60,
            "cluster": {"kind": "scheduler_file", "path": str(scheduler)},
        }
        sweep = load_sweep({"sweep": "workers", "sweeps": {"workers": settings}})
        folder, log = SweepFolder(Path(scratch) / "results"), Path(scratch) / "log"
        draw_instances(sweep, folder, cores=1, log=log)
        before = _worker_seconds(client)
        wall = clock(lambda: run_descent(sweep, folder, cores=1, log=log))[0]
        return wall, _worker_seconds(client) - before


def _worker_seconds(client: Client) -> float:
    return float(sum(client.run(_process_seconds).values()))


def _process_seconds() -> float:
    import time

    return time.process_time()
