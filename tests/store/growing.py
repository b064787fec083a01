"""A sweep that grows, is killed and resumed, and eight readers of it: ``python -m tests.store.growing``.

The values of a run are its names, so that a reader recognises a row of another run. All processes are forked
from one that has imported the libraries.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import zarr

import phasepipe as pp
from phasepipe.specification.configuration import load_sweep
from phasepipe.stages.runs import layout
from phasepipe.store.block_store import BlockStore, write_block
from phasepipe.store.packing import pack

N = 12
READERS = 8
STEPS = [([2], 1), ([2], 4), ([3, 2], 6), ([3, 1, 2], 6), ([3, 1, 4, 2], 12)]  # alphas, instances
_READ = ("status", "outcome", "recovery_time", "measurements", "overlap")


def prepare(path, sweep):
    return BlockStore.prepare(path, sweep, layout(sweep, N))


def fill(path, sweep):
    for block in prepare(path, sweep).pending_blocks():
        names = 1e3 * block.keys["measurements"][:, None, None] + block.keys["instance"][:, None]
        time_of = np.broadcast_to(names, block.todo.shape)[block.todo]
        others = {
            name: np.ones((block.count, *array.shape[3:]), array.dtype)
            for name, array in zarr.open_group(str(path), mode="r").arrays()
            if array.ndim >= 3 and name not in ("status", "outcome", "recovery_time", "overlap")
        }
        records = np.broadcast_to(time_of[:, None], (block.count, *_shape(path, "overlap")))
        named = {"outcome": np.ones(block.count, np.uint8), "recovery_time": time_of, "overlap": records}
        write_block(path, block, others | named)
        pack(path)  # while others read


def _shape(path, name):
    return zarr.open_group(str(path), mode="r")[name].shape[3:]


def sweep_of(settings, step):
    alphas, instances = STEPS[step]
    changed = settings | {"alpha": alphas, "instances": instances, "block_instances": 2}
    return load_sweep({"sweep": "small", "sweeps": {"small": changed}})


def read(root, stop, result):
    """Open the sweep again and again; write what was wrong."""
    reads, shapes, wrong, most = 0, set(), [], 0
    while not stop.exists() or not reads:
        try:
            data = pp.open_sweep(root)[f"runs/N{N}"].to_dataset()[list(_READ)].load()
            names = 1e3 * data["measurements"] + data["instance"]
            done = data["status"] == 1
            torn = done & ((data["recovery_time"] != names) | (data["outcome"] != 1))
            torn = torn | (done & (data["overlap"] != names.astype(data["overlap"].dtype)).any("time"))
            if torn.any() or (data["measurements"] / N != data["alpha"]).any():
                wrong.append("torn rows")
            if int(done.sum()) < most:
                wrong.append("runs that were there are gone")
            most = int(done.sum())
            shapes.add(data["status"].shape)
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}")
        reads += 1
        time.sleep(0.05)
    result.write_text(json.dumps({"reads": reads, "shapes": sorted(shapes), "wrong": wrong[:5]}))


def fork(function, *arguments):
    """Number of a process that calls the function."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function(*arguments)
            code = 0
        finally:
            os._exit(code)
    return pid


def main(root, settings, kills):
    """Grow the sweep step by step with readers all the time; kill the writer of each step several times."""
    rng = np.random.default_rng(1)
    path, stop = root / "small/runs/N12.zarr", root / "stop"
    first = fork(fill, path, sweep_of(settings, 0))
    assert os.waitpid(first, 0)[1] == 0
    results = [root / f"reader-{number}" for number in range(READERS)]
    readers = [fork(read, root / "small", stop, result) for result in results]
    killed = 0
    for step in range(1, len(STEPS)):
        for _ in range(kills):
            writer = fork(fill, path, sweep_of(settings, step))
            time.sleep(float(rng.uniform(0.02, 0.4)))
            os.kill(writer, signal.SIGKILL)
            killed += os.waitpid(writer, 0)[1] != 0
        writer = fork(fill, path, sweep_of(settings, step))
        assert os.waitpid(writer, 0)[1] == 0
    stop.touch()
    failed = [os.waitpid(reader, 0)[1] for reader in readers]
    found = [json.loads(result.read_text()) for result in results]
    print(json.dumps({"kills": killed, "failed": failed, "readers": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]))
