"""Readers in processes of their own while a store grows: they see it before or after, never between."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import zarr

import phasepipe.store.block_store as block_store
from phasepipe.stages.runs import layout
from phasepipe.store.block_store import BlockStore, write_block
from phasepipe.store.packing import pack
from phasepipe.store.tables import open_store

N = 12
READ = """
import json, sys, time
from pathlib import Path
import phasepipe as pp
root, stop = Path(sys.argv[1]), Path(sys.argv[2])
print("reading", flush=True)
reads, shapes, wrong = 0, set(), []
while not stop.exists():
    try:
        data = pp.open_sweep(root)["runs/N12"].to_dataset()[
            ["status", "outcome", "recovery_time", "measurements"]].load()
        names = 1e3 * data["measurements"] + data["instance"]
        torn = (data["status"] == 1) & (data["recovery_time"] != names)
        if torn.any() or (data["measurements"] / 12 != data["alpha"]).any():
            wrong.append("torn rows")
        shapes.add(data["status"].shape)
    except Exception as error:
        wrong.append(f"{type(error).__name__}: {error}")
    reads += 1
print(json.dumps([reads, sorted(shapes), wrong]), flush=True)
"""


def prepare(path, sweep):
    return BlockStore.prepare(path, sweep, layout(sweep, N))


def fill(path, sweep):
    for block in prepare(path, sweep).pending_blocks():
        names = 1e3 * block.keys["measurements"][:, None, None] + block.keys["instance"][:, None]
        time_of = np.broadcast_to(names, block.todo.shape)[block.todo]
        fates = np.ones(block.count, np.uint8)
        others = {
            name: np.ones((block.count, *array.shape[3:]), array.dtype)
            for name, array in zarr.open_group(str(path), mode="r").arrays()
            if array.ndim >= 3 and name not in ("status", "outcome", "recovery_time")
        }
        write_block(path, block, others | {"outcome": fates, "recovery_time": time_of})
        pack(path)  # while others read


def test_readers_never_see_a_growth_by_halves(tmp_path, make_sweep):
    path, stop = tmp_path / "small/runs/N12.zarr", tmp_path / "stop"
    fill(path, make_sweep(alpha=[2], instances=1))
    command = [sys.executable, "-c", READ, str(tmp_path / "small"), str(stop)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for reader in readers:
            assert reader.stdout.readline() == "reading\n"
        for alphas, instances in [([2], 2), ([3, 2], 3), ([3, 1, 2], 5), ([3, 1, 4, 2], 6)]:
            fill(path, make_sweep(alpha=alphas, instances=instances))
            time.sleep(1)
    finally:
        stop.touch()
    for reader in readers:
        reads, shapes, wrong = json.loads(reader.communicate(timeout=60)[0])
        assert wrong == []
        assert reads > 1
        assert {tuple(shape) for shape in shapes} <= {(1, 1, 2), (1, 2, 2), (2, 3, 2), (3, 5, 2), (4, 6, 2)}


class CutError(Exception):
    """Ends a growth where a kill would."""


@pytest.mark.parametrize("at", ["_resize", "root_content", "write_skeleton", "publish"])
def test_a_growth_cut_off_anywhere_is_not_seen_and_completed(tmp_path, make_sweep, monkeypatch, at):
    path = tmp_path / "small/runs/N12.zarr"
    fill(path, make_sweep(instances=3))
    before = open_store(path).load()
    grown = make_sweep(alpha=[3, 2, 4], instances=7)
    calls = []

    def cut(*_, **__):
        calls.append(at)
        if len(calls) > 2 or at != "_resize":
            raise CutError

    owner = BlockStore if at == "_resize" else block_store
    real = getattr(owner, at)
    monkeypatch.setattr(owner, at, lambda *a, **k: (cut(), real(*a, **k))[1])
    with pytest.raises(CutError):
        prepare(path, grown)
    assert open_store(path).load().identical(before)
    monkeypatch.undo()
    fill(path, grown)
    after = open_store(path)[["status", "recovery_time", "measurements"]].load()
    assert after["status"].shape == (3, 7, 2)
    assert (after["recovery_time"] == 1e3 * after["measurements"] + after["instance"]).all()
