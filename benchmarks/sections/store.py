"""Speed of writing blocks to a store: chunks per second, files and bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness import Plan, Row, Table, clock
from phasepipe.specification.configuration import load_sweep
from phasepipe.stages.runs import layout
from phasepipe.store.block_store import BlockStore, write_block
from phasepipe.store.packing import pack
from phasepipe.store.unpacked import remove_drafts


def measure(plan: Plan) -> list[Table]:
    table = Table(
        "Blocks of the runs store written by one process",
        "All arrays of a block, 16 starts per instance, random numbers (the worst case for compression). A "
        "worker writes a block to one file; the stage then packs many blocks into the files of the arrays. "
        "'files' are those of the store in the end, with metadata and records; 'pending' is the time to list "
        "what is still to do, with nothing done.",
    )
    for per_block, blocks in ((4, 8),) if plan.quick else ((1, 100), (8, 100), (64, 100), (8, 1000)):
        table.rows.append(_measure(per_block, blocks))
    return [table]


def _measure(instances: int, blocks: int) -> Row:
    settings = {
        "loss": {"kind": "normalised_quartic", "a": 0.01},
        "N": [128],
        "alpha": [3.0],
        "instances": instances * blocks,
        "starts": [{"kind": "random", "count": 16}],
        "block_instances": instances,
    }
    sweep = load_sweep({"sweep": "store", "sweeps": {"store": settings}})
    plan = layout(sweep, 128)
    rng = np.random.default_rng(0)
    values = {
        name: rng.random((instances * 16, *[plan.sizes[d] for d in variable.dims[3:]])).astype(variable.dtype)
        for name, variable in plan.variables.items()
    }
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "N128.zarr"
        prepared = clock(lambda: BlockStore.prepare(path, sweep, plan))[1]
        store = BlockStore.prepare(path, sweep, plan)
        listed = clock(store.pending_blocks)[1]
        todo = store.pending_blocks()
        written = clock(lambda: [write_block(path, block, values) for block in todo])[1]
        packed = clock(lambda: pack(path))[1]
        remove_drafts(path)
        files = [file.stat().st_size for file in path.parent.rglob("*") if file.is_file()]
    return {
        "runs per block": instances * 16,
        "blocks": blocks,
        "prepare, s": prepared,
        "pending, s": listed,
        "write, ms per block": 1e3 * written / blocks,
        "pack, ms per block": 1e3 * packed / blocks,
        "files": len(files),
        "KB per file": float(np.mean(files)) / 1e3,
        "MB/s": sum(files) / (written + packed) / 1e6,
    }
