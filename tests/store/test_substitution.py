"""Chunks with right checksums in wrong places: verify finds each, the next run restores the first bits."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

from phasepipe.results.verify import verify
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.folder import SweepFolder
from phasepipe.store.integrity import remove_stale_receipts
from phasepipe.store.reading import DamagedStoreError
from phasepipe.store.records import read_records, record_file, records_folder
from phasepipe.store.tables import open_store, read_runs
from tests.chunks import content, data_chunks, exchange_chunks, replace_chunk

SWEEP = {"snapshots": {"instances": 2, "starts": 1}}
RUNS = "runs/N12.zarr"


@pytest.fixture(scope="module")
def finished(run_sweep, tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("finished"), **SWEEP)


@pytest.fixture(scope="module")
def foreign(run_sweep, tmp_path_factory):
    """The same sweep with another seed."""
    return run_sweep(tmp_path_factory.mktemp("foreign"), seed=8, **SWEEP)


@pytest.fixture(scope="module")
def older(run_sweep, tmp_path_factory):
    """The same sweep before it grew: one instance in the first block."""
    return run_sweep(tmp_path_factory.mktemp("older"), instances=1, **SWEEP)


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished.root.parent, tmp_path / "results")
    return SweepFolder(tmp_path / "results" / finished.root.name)


def exchange(first, second):
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)


def blocks_chunks(root, block, store=RUNS):
    """Chunks of a block by their keys; block (alpha, instances)."""
    found = {}
    for key, chunk in data_chunks(root / store).items():
        name, _, place = key.partition("/c/")
        width = 2 if name == "snapshot" else 1  # one chunk for each of the two instances of a block
        alpha, instances, *_ = map(int, place.split("/"))
        if (alpha, instances // width) == block:
            found[key] = chunk
    return found


def swap_alphas(name):
    def damage(root, *_):
        inner = "/0/0" if name in ("overlap", "outlier") else "/0"
        exchange_chunks(root / RUNS, f"{name}/c/0/0{inner}", f"{name}/c/1/0{inner}")

    return damage


def swap_instances(root, *_):
    exchange_chunks(root / RUNS, "overlap/c/0/0/0/0", "overlap/c/0/1/0/0")


def swap_arrays(root, *_):
    found = data_chunks(root / RUNS)
    for name, other in (("recovery_time", "end_time"), ("end_time", "recovery_time")):
        replace_chunk(root / RUNS, f"{name}/c/0/0/0", found[f"{other}/c/0/0/0"])


def swap_blocks(root, *_):
    for key in blocks_chunks(root, (0, 0)):
        exchange_chunks(root / RUNS, key, key.replace("/c/0/", "/c/1/"))


def swap_blocks_with_records(root, *_):
    swap_blocks(root)
    records = read_records(root / RUNS)
    edit_records(root, {(0, 0, 0): records[1, 0, 0], (1, 0, 0): records[0, 0, 0]})


def edit_records(root, changes):
    """Replace records by others, wherever these come from."""
    opened = OpenedStore.at(root / RUNS)
    for block, record in changes.items():
        file = record_file(opened, block)
        lines = {tuple(json.loads(line)["block"]): line for line in file.read_text().splitlines()}
        lines[block] = json.dumps(record)
        file.write_text("\n".join(line for line in lines.values() if line != "null"))


def foreign_chunk(root, foreign, _):
    key = "overlap/c/0/0/0/0"
    replace_chunk(root / RUNS, key, data_chunks(foreign.root / RUNS)[key])


def foreign_file(root, foreign, _):
    shutil.copy(foreign.root / RUNS / "overlap/c/0/0/0/0", root / RUNS / "overlap/c/0/0/0/0")


def foreign_block(root, foreign, _):
    for key, chunk in blocks_chunks(foreign.root, (0, 0)).items():
        replace_chunk(root / RUNS, key, chunk)


def foreign_block_with_record(root, foreign, _):
    foreign_block(root, foreign, _)
    edit_records(root, {(0, 0, 0): read_records(foreign.root / RUNS)[0, 0, 0]})


def rolled_back(root, _, older):
    for key, chunk in blocks_chunks(older.root, (0, 0)).items():
        if not key.startswith("status"):
            replace_chunk(root / RUNS, key, chunk)


def rolled_back_with_record(root, _, older):
    rolled_back(root, _, older)
    edit_records(root, {(0, 0, 0): read_records(older.root / RUNS)[0, 0, 0]})


def emptied(root, *_):
    for key in blocks_chunks(root, (0, 0)):
        if not key.startswith("status"):
            replace_chunk(root / RUNS, key, None)


def emptied_with_zeros(root, *_):
    group = zarr.open_group(str(root / RUNS), mode="r+")
    for name in ("outcome", "evaluations", "recovery_time"):
        array = group[name].with_config({"write_empty_chunks": True})
        array[0, :2] = np.full((2, 2), array.fill_value, array.dtype)


def foreign_instances(root, foreign, _):
    store = "instances/N12.zarr"
    found = data_chunks(foreign.root / store)
    for key in ("labels/c/0/0/0", "signal/c/0/0/0"):
        replace_chunk(root / store, key, found[key])


def lost_record(root, *_):
    edit_records(root, {(1, 1, 0): None})


def lost_records(root, *_):
    shutil.rmtree(records_folder(root / RUNS))


def edited_record(root, *_):
    record = read_records(root / RUNS)[1, 1, 0]
    edit_records(root, {(1, 1, 0): record | {"done": "ff" + record["done"][2:]}})


DAMAGE = {
    **{f"two alphas exchanged, {name}": swap_alphas(name) for name in ("outcome", "t_bbp", "overlap")},
    "two groups of instances exchanged": swap_instances,
    "two arrays exchanged": swap_arrays,
    "two blocks exchanged": swap_blocks,
    "two blocks and their records exchanged": swap_blocks_with_records,
    "a chunk of another seed": foreign_chunk,
    "a block of another seed": foreign_block,
    "a block and record of another seed": foreign_block_with_record,
    "a block rolled back": rolled_back,
    "a block and its record rolled back": rolled_back_with_record,
    "a block emptied": emptied,
    "values of a block replaced by fill values": emptied_with_zeros,
    "instances of another seed": foreign_instances,
    "a file of another seed": foreign_file,
    "a record lost": lost_record,
    "all records lost": lost_records,
    "a record edited": edited_record,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_does_not_belong_is_found_and_computed_again(folder, finished, foreign, older, run_sweep, kind):
    DAMAGE[kind](folder.root, foreign, older)
    assert any(found.damaged for found in verify(folder, sample=0, repair=False).values())
    verify(folder, sample=0, repair=True)
    run_sweep(folder.root.parent, **SWEEP)
    assert content(folder.root) == content(finished.root)
    assert not any(found.damaged for found in verify(folder, sample=0, repair=False).values())


def table_chunk(folder, name):
    return folder.table("success") / name / "c/0/0/0/0"


TABLES = {
    "two arrays exchanged": lambda folder, _: exchange(
        table_chunk(folder, "p"), table_chunk(folder, "upper")
    ),
    "a chunk of another sweep": lambda folder, other: shutil.copy(
        table_chunk(other, "p"), table_chunk(folder, "p")
    ),
    "a chunk lost": lambda folder, _: table_chunk(folder, "p").unlink(),
    "a chunk too many": lambda folder, _: (table_chunk(folder, "p").parent / "1").write_bytes(b"1"),
    "metadata of another array": lambda folder, _: shutil.copy(
        folder.table("success") / "p/zarr.json", folder.table("success") / "upper/zarr.json"
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_changed_table_is_not_read(folder, foreign, kind):
    TABLES[kind](folder, foreign)
    with pytest.raises(DamagedStoreError, match=r"success\.zarr is damaged"):
        open_store(folder.table("success"))
    assert verify(folder, sample=0, repair=True)["success"].damaged


def test_a_whole_table_in_another_place_or_of_other_runs_is_found(folder, foreign, older):
    shutil.copytree(folder.table("success"), folder.table("scaling"))
    with pytest.raises(DamagedStoreError, match="it holds the table success"):
        open_store(folder.table("scaling"))
    shutil.rmtree(folder.table("scaling"))
    for other, complaint in ((foreign, "made from runs that differ"), (older, "made from runs that differ")):
        shutil.rmtree(folder.table("success"))
        shutil.copytree(other.table("success"), folder.table("success"))
        found = verify(folder, sample=0, repair=False)["success"]
        assert any(complaint in said for said in found.files)


def test_a_hole_is_no_number_for_any_reader_and_the_workflow_fills_it(
    folder, finished, run_sweep, make_sweep
):
    for stage in ("instances", "runs"):
        (folder.root / stage / "N12.done").touch()
    replace_chunk(folder.root / RUNS, "recovery_time/c/0/0/0", None)
    replace_chunk(folder.root / RUNS, "overlap/c/1/1/0/0", None)
    runs = read_runs(folder, make_sweep(**SWEEP), 12)
    for name in ("recovery_time", "overlap"):
        with pytest.raises(DamagedStoreError, match=r"is missing, but 4 entries at alpha = \d, instances"):
            runs[name].load()
    assert (runs["outcome"] > 0).all()
    remove_stale_receipts(folder.root)
    assert not (folder.root / "runs/N12.done").exists()
    assert (folder.root / "instances/N12.done").exists()
    run_sweep(folder.root.parent, **SWEEP)
    assert content(folder.root) == content(finished.root)


def test_a_store_of_an_earlier_version_is_bound_by_verify(folder, finished):
    shutil.rmtree(records_folder(folder.store("runs", 12)))
    root = folder.root / RUNS / "zarr.json"
    made = json.loads(root.read_text())
    del made["attributes"]["records"], made["attributes"]["metadata_digest"], made["consolidated_metadata"]
    root.write_text(json.dumps(made))
    for copy in (folder.root / "runs").glob("*.skeleton*.json"):
        copy.unlink()
    xr.testing.assert_identical(
        open_store(folder.store("runs", 12)).load().drop_attrs(deep=False),
        open_store(finished.store("runs", 12)).load().drop_attrs(deep=False),
    )
    assert not verify(folder, sample=1, repair=True)["runs/N12"].damaged
    swap_alphas("t_bbp")(folder.root)
    assert verify(folder, sample=0, repair=False)["runs/N12"].damaged


def test_an_empty_status_file_makes_its_blocks_pending_without_more_ado(folder, finished, run_sweep):
    (folder.root / RUNS / "status/c/0/0/0").write_bytes(b"")  # as a power cut leaves it
    run_sweep(folder.root.parent, **SWEEP)
    assert content(folder.root) == content(finished.root)
