"""Blocks go from files of their own into the arrays, several to a file, and nothing is lost on the way."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr
from numcodecs.blosc import SHUFFLE, Blosc
from zarr.codecs import BytesCodec

import phasepipe.store.creation as creation
import phasepipe.store.packing as packing
from phasepipe.results.verify import verify
from phasepipe.stages.runs import layout
from phasepipe.store.arrays import StoredArray
from phasepipe.store.block_store import BlockStore, write_block
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.codec import BLOCK_CODECS, CHECKSUM_BYTES, TABLE_CODECS
from phasepipe.store.folder import SweepFolder
from phasepipe.store.integrity import check_skeleton, find_incomplete_blocks, mark_pending
from phasepipe.store.packing import pack
from phasepipe.store.records import read_records
from phasepipe.store.shards import index_size, merge, read_index
from phasepipe.store.tables import open_store
from phasepipe.store.unpacked import unpacked_files, unpacked_folder
from tests.chunks import data_chunks, dated_chunks

N = 12


@pytest.fixture
def path(tmp_path):
    return tmp_path / "small" / "runs" / "N12.zarr"


def prepare(path, sweep):
    return BlockStore.prepare(path, sweep, layout(sweep, N))


def values(path, block):
    """Numbers that name their runs, for every array."""
    names = 1e3 * block.keys["measurements"][:, None, None] + block.keys["instance"][:, None]
    names = names + block.keys["start_number"] / 8
    arrays = {
        name: np.broadcast_to(1.0, (block.count, *array.shape[3:])).astype(array.dtype)
        for name, array in zarr.open_group(str(path), mode="r").arrays()
        if array.ndim >= 3 and name not in ("status", "snapshot")
    }
    return arrays | {"recovery_time": names[block.todo]}


def write(path, sweep):
    """Write all pending blocks to files of their own."""
    for block in prepare(path, sweep).pending_blocks():
        write_block(path, block, values(path, block))


def names(data):
    return 1e3 * data["measurements"] + data["instance"] + data["start_number"] / 8


@pytest.mark.parametrize("codecs", [BLOCK_CODECS, TABLE_CODECS])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", "float32", "float64"])
def test_a_chunk_has_the_bytes_that_zarr_writes(tmp_path, dtype, codecs):
    content = (np.arange(60).reshape(5, 12) ** 2).astype(dtype)
    array = zarr.create_array(
        str(tmp_path), shape=(5, 12), chunks=(5, 12), dtype=dtype, compressors=codecs, fill_value=0
    )
    array[...] = content
    assert isinstance(array.metadata.codecs[0], BytesCodec)
    stored = StoredArray.of("", json.loads((tmp_path / "zarr.json").read_bytes()))
    assert stored.encoded(content) == (tmp_path / "c/0/0").read_bytes()
    assert (stored.decoded(stored.encoded(content)) == content).all()


def test_a_store_goes_on_with_the_compression_that_it_was_made_with(path, make_sweep, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(creation, "BLOCK_CODECS", TABLE_CODECS)
        write(path, make_sweep(instances=2))
    write(path, make_sweep(instances=7))
    pack(path)
    store, zstd = OpenedStore.at(path), Blosc("zstd", 3, SHUFFLE)
    for array in (store.status, *store.data):
        for block in np.ndindex(store.status.grid):
            for _, chunk in store.chunks_of(array, block):
                assert chunk[:-CHECKSUM_BYTES] == zstd.encode(array.decoded(chunk))


def test_what_is_added_to_a_file_moves_nothing_in_it():
    counts = (2, 3)
    first = merge(None, counts, {(0, 1): b"one", (1, 2): b"two"})
    index = read_index(first, counts)
    later = merge(first, counts, {(0, 0): b"three", (1, 2): b"another", (0, 1): b"one"})
    assert {place: later[where] for place, where in index.items()} == {(0, 1): b"one", (1, 2): b"two"}
    now = {place: later[where] for place, where in read_index(later, counts).items()}
    assert now == {(0, 0): b"three", (0, 1): b"one", (1, 2): b"another"}
    assert read_index(later, counts)[0, 1] == index[0, 1]
    assert merge(later, counts, dict.fromkeys(now)) is None
    for at in range(index_size(counts)):
        damaged = bytearray(later)
        damaged[at] ^= 1
        with pytest.raises(ValueError, match="index"):
            read_index(bytes(damaged), counts)


def test_zarr_and_xarray_read_the_arrays_without_us(path, make_sweep):
    sweep = make_sweep(alpha=[2, 3, 4], instances=7)
    write(path, sweep)
    with xr.open_zarr(path) as data:
        assert not data["status"].any()
    assert pack(path) == 3 * 4
    with xr.open_zarr(path) as data:
        assert (data["status"] == 1).all()
        assert (data["recovery_time"] == names(data)).all()
        assert (data["recovery_time"][1, 3:] == names(data)[1, 3:].transpose("instance", "start")).all()
        assert len(list((path / "recovery_time/c").rglob("0"))) > 0
    array = zarr.open_group(str(path), mode="r")["recovery_time"]
    assert array[2, 5, 1] == 1e3 * 48 + 5 + 1 / 8


@pytest.mark.parametrize("cut", range(12))
def test_a_kill_while_blocks_are_packed_loses_none(path, make_sweep, monkeypatch, cut):
    write(path, make_sweep(instances=3))
    pack(path)
    before = dated_chunks(path)
    write(path, make_sweep(instances=6))
    calls = []

    class KilledError(BaseException):
        pass

    def until_cut(real):
        def call(*arguments, **keywords):
            calls.append(real)
            if len(calls) > cut * 3:
                raise KilledError
            return real(*arguments, **keywords)

        return call

    path_class = type(path)
    for name in ("replace", "write_bytes", "unlink"):
        monkeypatch.setattr(path_class, name, until_cut(getattr(path_class, name)))
    monkeypatch.setattr(packing, "flush_all", until_cut(packing.flush_all))
    with pytest.raises(KilledError):
        pack(path)
    monkeypatch.undo()
    data = open_store(path).load()  # what is marked as done is there
    assert (data["recovery_time"] == names(data)).where(data["status"] == 1, True).all()
    assert int((data["status"] == 1).sum()) >= 12
    assert prepare(path, make_sweep(instances=6)).pending_blocks() == []
    data = open_store(path).load()
    assert (data["recovery_time"] == names(data)).all()
    assert find_incomplete_blocks(path) == set()
    untouched = {key: dated for key, dated in before.items() if "/c/0/0" in key or "/c/1/0" in key}
    assert untouched.items() <= dated_chunks(path).items()
    assert not unpacked_files(path)


def test_a_block_whose_file_is_damaged_or_foreign_is_computed_again(path, make_sweep, tmp_path):
    sweep = make_sweep()
    write(path, sweep)
    flipped, cut, foreign, _ = unpacked_files(path)
    content = bytearray(flipped.read_bytes())
    content[-9] ^= 4
    flipped.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:-20])
    other = tmp_path / "other/runs/N12.zarr"
    write(other, make_sweep(seed=8))
    foreign.write_bytes((unpacked_folder(other) / foreign.name).read_bytes())
    assert verify(SweepFolder(path.parents[1]), sample=0, repair=False)["runs/N12"].files == [
        f"N12.unpacked/{flipped.name}",
        f"N12.unpacked/{cut.name}",
    ]
    pending = prepare(path, sweep).pending_blocks()
    assert [f"{block.label.removeprefix('N12-')}.block" for block in pending] == [
        flipped.name,
        cut.name,
        foreign.name,
    ]
    assert not unpacked_files(path)
    write(path, sweep)
    pack(path)
    data = open_store(path).load()
    assert (data["recovery_time"] == names(data)).all()


def test_a_block_written_before_its_store_grew_does_not_replace_the_grown_one(path, make_sweep):
    write(path, make_sweep(instances=3))
    late = {file.name: file.read_bytes() for file in unpacked_files(path)}  # of a worker that seemed lost
    pack(path)
    write(path, make_sweep(instances=4))
    pack(path)
    after = dated_chunks(path)
    for name, content in late.items():
        (unpacked_folder(path) / name).write_bytes(content)
    pack(path)
    assert dated_chunks(path) == after
    assert not unpacked_files(path)


def test_many_blocks_share_few_files(path, make_sweep):
    sweep = make_sweep(alpha=np.arange(1, 21).tolist(), instances=20, block_instances=1, N=[12])
    write(path, sweep)
    assert len(unpacked_files(path)) == 400
    assert pack(path) == 400
    files = [file for file in path.parent.rglob("*") if file.is_file()]
    assert len(files) < 0.7 * 400  # one file each, and for every array, were 6000
    assert len(data_chunks(path)) == 400 * 15  # 14 arrays and status
    assert len(read_records(path)) == 400


def test_a_store_of_an_earlier_version_goes_on_with_a_file_for_every_chunk(path, make_sweep, monkeypatch):
    create_array = zarr.Group.create_array

    def without_shards(group, name, **settings):
        settings.pop("shards", None)
        return create_array(group, name, **settings)

    monkeypatch.setattr(zarr.Group, "create_array", without_shards)
    write(path, make_sweep(instances=3))
    monkeypatch.undo()
    pack(path)
    assert (path / "recovery_time/c/1/1/0").is_file()
    write(path, make_sweep(instances=6, alpha=[2, 3, 4]))
    pack(path)
    data = open_store(path).load()
    assert (data["recovery_time"] == names(data)).all()
    (path / "overlap/c/0/1/0/0").unlink()
    assert find_incomplete_blocks(path) == {(0, 1, 0)}
    mark_pending(path, {(0, 1, 0)})
    assert not check_skeleton(path, repair=False).damaged
    write(path, make_sweep(instances=6))
    pack(path)
    assert (open_store(path).load()["status"] == 1).all()
