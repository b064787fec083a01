"""Readers in processes of their own while a store grows: they see it before or after, never between."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import phasepipe.store.block_store as block_store
from phasepipe.store.block_store import BlockStore
from phasepipe.store.history import HISTORY
from phasepipe.store.integrity import mark_pending
from phasepipe.store.reading import DamagedStoreError
from phasepipe.store.tables import open_chunked, open_store
from tests.store.growing import READERS, STEPS, fill, prepare

ROOT = Path(__file__).parents[2]
SHAPES = {(len(alphas), instances, 2) for alphas, instances in STEPS}


def test_eight_readers_of_a_growing_killed_and_resumed_sweep_see_no_halves(tmp_path, configuration):
    settings = json.dumps(configuration()["sweeps"]["small"])
    ended = subprocess.run(
        [sys.executable, "-m", "tests.store.growing", tmp_path, settings, "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    found = json.loads(ended.stdout)
    assert found["kills"] >= 4
    assert found["failed"] == [0] * READERS
    assert len(found["readers"]) == READERS
    for reader in found["readers"]:
        assert reader["wrong"] == []
        assert reader["reads"] >= 1
        assert {tuple(shape) for shape in reader["shapes"]} <= SHAPES
    assert len({tuple(shape) for reader in found["readers"] for shape in reader["shapes"]}) > 1


@pytest.mark.parametrize("first", ["status", "outcome", "recovery_time"])
@pytest.mark.parametrize("opened", [open_store, open_chunked])
def test_what_is_written_after_the_first_look_at_a_block_stays_unseen(tmp_path, make_sweep, opened, first):
    path, small = tmp_path / "small/runs/N12.zarr", {"alpha": [2], "instances": 1}
    fill(path, make_sweep(**small))
    prepare(path, make_sweep(alpha=[2], instances=2))  # the second instance shares the block of the first
    data = opened(path)[["status", "outcome", "recovery_time"]]
    before = data[first].values
    fill(path, make_sweep(alpha=[2], instances=2))
    assert (data["status"].values == [[[1, 1], [0, 0]]]).all()
    assert (data[first].values == before)[data["status"].values == 1].all()
    assert (opened(path)["status"].values == 1).all()
    assert np.isfinite(data["recovery_time"].values[0, 0]).all()


def test_a_block_that_is_withdrawn_while_it_is_read_is_one_sentence(tmp_path, make_sweep):
    path = tmp_path / "small/runs/N12.zarr"
    fill(path, make_sweep())
    data = open_store(path)
    assert (data["status"].values == 1).all()
    mark_pending(path, [(0, 0, 0)])
    with pytest.raises(DamagedStoreError, match=r"has changed since it was opened.*open it again"):
        data["outcome"].load()
    assert (open_store(path)["outcome"].values == 0).any()


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
    grown_to = [entry["sizes"]["instance"] for entry in after.attrs[HISTORY] if "computes" not in entry]
    assert grown_to == [3, 7]
    assert (after["recovery_time"] == 1e3 * after["measurements"] + after["instance"]).all()
