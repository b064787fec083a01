"""Damage is found, marked pending and computed again to the same bits."""

import json
import os
import pickle
import shutil
from contextlib import nullcontext

import numpy as np
import pytest
import zarr
from numcodecs import Pickle

from phasepipe.errors import UserError
from phasepipe.results.tree import open_sweep
from phasepipe.results.verify import verify
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.folder import SweepFolder
from phasepipe.store.integrity import remove_stale_receipts
from phasepipe.store.metadata_copy import differing_files, read_skeleton, skeleton_files, write_skeleton
from phasepipe.store.packing import write_records
from phasepipe.store.publishing import root_content
from phasepipe.store.records import make_record, stored_chunks
from tests.chunks import content, overwrite_chunk, replace_chunk

SWEEP = {"snapshots": {"instances": 2, "starts": 1}}
FLIPS = 200
PER_ROUND = 20


@pytest.fixture(scope="module")
def finished(run_sweep, tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("finished"), **SWEEP)


def record_again(store):
    """Bind what the store holds now, as if it had been computed so."""
    opened = OpenedStore.at(store)
    done = opened.values("status") == 1
    records = {}
    for block in np.ndindex(*opened.status.grid):
        here, chunks = done[opened.status.region(block)], stored_chunks(opened, block)
        records[block] = make_record(opened, block, here, chunks)
    write_records(opened, records)


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished.root.parent, tmp_path / "results")
    return SweepFolder(tmp_path / "results" / finished.root.name)


def store_files(root):
    return sorted(file for file in root.glob("*/N*.zarr/**/*") if file.is_file())


def test_an_undamaged_sweep_is_in_order(folder):
    before = content(folder.root)
    found = verify(folder, sample=4, repair=True)
    assert set(found) == {"instances/N12", "runs/N12", "success"}
    for name, findings in found.items():
        assert not findings.damaged, (name, findings)
        assert not findings.notes, (name, findings)
        assert findings.chunks > 0
    assert content(folder.root) == before


def test_flipped_bits_are_found_and_repaired(folder, finished, run_sweep):
    rng = np.random.default_rng(20261123)
    good = content(finished.root)
    for _ in range(FLIPS // PER_ROUND):
        files = rng.choice(store_files(folder.root), PER_ROUND, replace=False)
        for file in files:
            data = bytearray(file.read_bytes())
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            file.write_bytes(data)
        reported = verify(folder, sample=0, repair=False)
        assert any(findings.damaged for findings in reported.values())
        found = verify(folder, sample=0, repair=True)
        assert any(findings.damaged for findings in found.values())
        run_sweep(folder.root.parent, **SWEEP)
        assert content(folder.root) == good
        assert not any(findings.damaged for findings in verify(folder, sample=0, repair=True).values())


@pytest.mark.parametrize("array", ["outcome", "recovery_time", "t_bbp", "outlier", "status"])
def test_a_lost_chunk_is_found_and_repaired(folder, finished, run_sweep, array):
    replace_chunk(folder.store("runs", 12), f"{array}/c/0/0/0{'/0' if array == 'outlier' else ''}", None)
    assert verify(folder, sample=0, repair=True)["runs/N12"].damaged
    run_sweep(folder.root.parent, **SWEEP)
    assert content(folder.root) == content(finished.root)


@pytest.mark.parametrize("what", ["lost", "older"])
@pytest.mark.parametrize("stage", ["instances", "runs"])
def test_a_status_that_knows_less_than_the_records_is_found(folder, finished, run_sweep, stage, what):
    store = folder.store(stage, 12)
    receipt = folder.root / stage / "N12.done"
    receipt.touch()
    if what == "lost":
        shutil.rmtree(store / "status/c")
    else:
        status = OpenedStore.at(store).status
        nothing = status.encoded(np.zeros(status.chunks, status.dtype))
        replace_chunk(store, status.key((0,) * status.ndim), nothing)
    remove_stale_receipts(folder.root)
    assert not receipt.exists()
    found = verify(folder, sample=0, repair=True)[f"{stage}/N12"]
    assert "status: entries that were computed are not marked as done" in found.blocks.values()
    run_sweep(folder.root.parent, **SWEEP)
    assert content(folder.root) == content(finished.root)


def test_records_of_another_stage_are_damage_that_is_repaired(folder, finished, run_sweep):
    """Their digests are right, and their blocks have fewer axes."""
    (instances,) = folder.store("instances", 12).with_suffix(".records").glob("*.jsonl")
    for file in folder.store("runs", 12).with_suffix(".records").glob("*.jsonl"):
        file.write_bytes(instances.read_bytes())
    found = verify(folder, sample=0, repair=True)["runs/N12"]
    assert set(found.blocks.values()) == {"its record is lost or damaged"}
    run_sweep(folder.root.parent, **SWEEP)
    assert content(folder.root) == content(finished.root)


@pytest.mark.parametrize(
    "name",
    [
        "runs/N12.records/0-0-0.jsonl",
        "runs/N12.zarr/outcome/c/0/0/0",
        "runs/N12.zarr/status/c/0/0/0",
        "runs/N12.zarr/zarr.json",
        "runs/N12.skeleton.json",
        "success.zarr/p/c/0/0/0/0",
        "success.zarr/zarr.json",
    ],
)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_blocks_nobody_and_is_replaced(folder, finished, run_sweep, name, make):
    """Opening a named pipe for reading would wait for its writer for ever."""
    file = folder.root / name
    file.unlink()
    make(file)
    read = "records" not in name and "skeleton" not in name
    with pytest.raises(UserError) if read else nullcontext():
        open_sweep(folder.root).load()
    found = verify(folder, sample=0, repair=True)
    assert any(findings.damaged for findings in found.values())
    run_sweep(folder.root.parent, **SWEEP)
    assert content(folder.root) == content(finished.root)


def test_records_are_added_once_to_a_store_of_an_earlier_version(folder):
    store = folder.store("runs", 12)
    shutil.rmtree(store.with_suffix(".records"))
    coordinates = sorted({name.split("/")[0] for name in read_skeleton(store) if "/c" in name})
    (store / "zarr.json").write_bytes(root_content(store, {"records": 0}))
    write_skeleton(store, coordinates, (store / "zarr.json").read_bytes())
    copied = read_skeleton(store)
    assert "block records were added" in " ".join(verify(folder, sample=0, repair=True)["runs/N12"].notes)
    assert read_skeleton(store).keys() == copied.keys()
    assert differing_files(store, read_skeleton(store)) == []
    assert verify(folder, sample=0, repair=True)["runs/N12"].notes == []


def test_a_lost_snapshot_is_found_and_repaired(folder, finished, run_sweep):
    # the first two instances keep the points of their first start
    replace_chunk(folder.store("runs", 12), "snapshot/c/1/1/0/0/0", None)
    found = verify(folder, sample=0, repair=True)["runs/N12"]
    assert found.blocks == {(1, 0, 0): "snapshot: a chunk is missing"}
    run_sweep(folder.root.parent, **SWEEP)
    assert content(folder.root) == content(finished.root)


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_copy_of_metadata_is_repaired_from_its_twin(folder, which):
    store = folder.store("runs", 12)
    metadata = store / "outcome/zarr.json"
    good = metadata.read_bytes()
    copies = [copy.read_bytes() for copy in skeleton_files(store)]
    skeleton_files(store)[which].write_bytes(copies[which].replace(b"a", b"b", 1))
    metadata.write_bytes(good[:-40])
    found = verify(folder, sample=0, repair=False)["runs/N12"]
    assert found.files == [skeleton_files(store)[which].name, "outcome/zarr.json"]
    verify(folder, sample=0, repair=True)
    assert metadata.read_bytes() == good
    assert [copy.read_bytes() for copy in skeleton_files(store)] == copies


@pytest.mark.parametrize("file", ["p/c/0/0/0/0", "p/zarr.json", "zarr.json", "N/c/0"])
def test_a_damaged_table_is_found_and_its_receipt_removed(folder, file):
    receipt = folder.root / "success.done"
    receipt.touch()
    path = folder.table("success") / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    assert verify(folder, sample=0, repair=False)["success"].damaged
    assert receipt.exists()
    verify(folder, sample=0, repair=True)
    assert not receipt.exists()


def test_a_wrong_number_with_a_right_checksum_is_found_by_running_again(folder):
    group = zarr.open_group(str(folder.store("runs", 12)), mode="r+")
    outcome = group["outcome"][...]
    group["outcome"][...] = np.where(outcome == 2, 3, np.where(outcome == 3, 2, outcome)).astype("uint8")
    assert verify(folder, sample=0, repair=False)["runs/N12"].damaged  # not the chunks that were written
    record_again(folder.store("runs", 12))
    assert not verify(folder, sample=0, repair=False)["runs/N12"].damaged
    found = verify(folder, sample=8, repair=False)["runs/N12"]
    assert any("gave a different result when repeated" in reason for reason in found.blocks.values())


def test_a_damaged_receipt_stage_runs_again(folder):
    receipt = folder.root / "runs/N12.done"
    receipt.touch()
    overwrite_chunk(folder.store("runs", 12), "overlap/c/0/0/0/0", lambda chunk: b"\0" + chunk[1:])
    verify(folder, sample=0, repair=False)
    assert receipt.exists()
    verify(folder, sample=0, repair=True)
    assert not receipt.exists()


def test_a_copy_of_metadata_never_writes_outside_its_store(folder):
    store = folder.store("runs", 12)
    stored = json.loads(skeleton_files(store)[0].read_text())
    stored["files"]["../../../escaped"] = "eA=="
    import hashlib

    stored["digest"] = hashlib.sha256(json.dumps(stored["files"], sort_keys=True).encode()).hexdigest()
    for copy in skeleton_files(store):
        copy.write_text(json.dumps(stored))
    assert read_skeleton(store) is None


class Malice:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def test_no_pickle_of_a_store_is_executed(folder, tmp_path):
    proof = tmp_path / "executed"
    store = folder.store("runs", 12)
    metadata = json.loads((store / "outcome/zarr.json").read_text())
    metadata["data_type"] = "object"
    metadata["codecs"] = [{"name": "numcodecs.pickle", "configuration": {"id": Pickle.codec_id}}]
    (store / "outcome/zarr.json").write_text(json.dumps(metadata))
    for chunk in (store / "outcome/c").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(pickle.dumps(Malice(proof)))
    for copy in skeleton_files(store):
        copy.unlink()
    with pytest.raises(Exception, match=r"(?i)object|pickle|dtype|data type|codec"):
        zarr.open_group(str(store), mode="r", use_consolidated=False)["outcome"][...]
    assert not proof.exists()
