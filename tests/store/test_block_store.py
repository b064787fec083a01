"""Stores: filling, growing, refusing, and never telling a wrong number."""

from dataclasses import replace
from textwrap import indent

import numpy as np
import pytest
import xarray as xr
import zarr

from phasepipe.stages.runs import layout
from phasepipe.store.block_store import BlockStore, StoreMismatchError, is_written, write_block
from phasepipe.store.metadata_copy import write_skeleton
from phasepipe.store.packing import pack
from phasepipe.store.provenance import source_hash
from phasepipe.store.publishing import publish, root_content
from phasepipe.store.reading import DamagedStoreError
from phasepipe.store.tables import open_store
from phasepipe.store.unpacked import remove_drafts, unpacked_files, unpacked_folder
from phasepipe.variables import Variable
from tests.chunks import data_chunks, dated_chunks

N = 12
KEYS = ("measurements", "instance", "start_kind", "start_number")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "small" / "runs" / "N12.zarr"


def random(count):
    return [{"kind": "random", "count": count}]


def prepare(path, sweep):
    return BlockStore.prepare(path, sweep, layout(sweep, N))


def content(keys):
    """Numbers that name their runs, shape (alpha, instance, start)."""
    starts = 100.0 * keys["start_kind"] + keys["start_number"]
    return 1e6 * keys["measurements"][:, None, None] + 1e3 * keys["instance"][:, None] + starts


def fill(path, sweep, add=0.0):
    """Write all pending blocks of a sweep, with numbers that name their runs; returns the blocks."""
    pending = prepare(path, sweep).pending_blocks()
    for block in pending:
        write_block(path, block, {"recovery_time": content(block.keys)[block.todo] + add})
    pack(path)
    remove_drafts(path)
    return pending


def stored(path):
    """Numbers and status of a store, and what the numbers must be."""
    data = open_store(path)[["status", "recovery_time"]].load()
    keys = {key: data[key].values for key in KEYS}
    return data["recovery_time"].values, data["status"].values, content(keys)


def test_a_new_store_is_all_pending(path, make_sweep):
    store = prepare(path, make_sweep())
    assert store.status().shape == (2, 4, 2)
    assert not store.status().any()
    assert [block.count for block in store.pending_blocks()] == [4, 4, 4, 4]
    assert not data_chunks(path)


def test_blocks_are_chunks_and_together_the_whole_sweep(path, make_sweep):
    sweep = make_sweep(instances=5)
    seen = np.zeros((2, 5, 2), int)
    for block in fill(path, sweep):
        seen[block.region] += block.todo
    assert (seen == 1).all()
    assert len([name for name in data_chunks(path) if name.startswith("recovery_time")]) == 2 * 3
    numbers, status, expected = stored(path)
    assert (status == 1).all()
    np.testing.assert_array_equal(numbers, expected)
    assert prepare(path, sweep).pending_blocks() == []


def test_drafts_of_writes_cut_off_are_removed(path, make_sweep):
    sweep = make_sweep()
    fill(path, sweep)
    before = dated_chunks(path)
    unpacked_folder(path).mkdir(exist_ok=True)
    draft = unpacked_folder(path) / ".0-0-0.block.0123abcd-1-01234567"
    draft.write_bytes(b"half")
    remove_drafts(path)
    assert not unpacked_folder(path).exists()
    assert dated_chunks(path) == before


def test_a_block_is_known_to_be_written_until_it_is_packed(path, make_sweep):
    first, second = prepare(path, make_sweep()).pending_blocks()[:2]
    write_block(path, first, {"recovery_time": content(first.keys)[first.todo]})
    assert is_written(path, first)
    assert not is_written(path, second)
    (file,) = unpacked_files(path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert not is_written(path, first)
    file.write_bytes(whole)
    pack(path)
    assert not is_written(path, first)


def test_a_block_counts_only_when_it_is_whole(path, make_sweep):
    sweep = make_sweep()
    first, *_ = prepare(path, sweep).pending_blocks()
    numbers = content(first.keys)[first.todo]
    with pytest.raises(ValueError, match=r"end_time has values of shape \(4, 3\) for 4 entries"):
        write_block(path, first, {"recovery_time": numbers, "end_time": numbers[:, None] * np.ones(3)})
    assert not unpacked_files(path)
    assert len(prepare(path, sweep).pending_blocks()) == 4
    fill(path, sweep)
    assert (stored(path)[1] == 1).all()


@pytest.mark.parametrize(
    ("grown", "new"),
    [
        ({"alpha": [2, 4, 3]}, 4 * 2),
        ({"alpha": [1, 4, 3, 2]}, 2 * 4 * 2),
        ({"instances": 8}, 2 * 4 * 2),
        ({"starts": [*random(4), {"kind": "warm", "count": 1, "m0": 0.25}]}, 2 * 4 * 3),
        ({"alpha": [5, 2, 4], "instances": 6, "starts": random(3)}, 3 * 6 * 3 - 16),
    ],
    ids=["alpha", "alphas before and between", "instance", "start", "all"],
)
def test_growing_computes_only_what_is_new(path, make_sweep, grown, new):
    fill(path, make_sweep())
    before = dated_chunks(path)
    sweep = make_sweep(**grown)
    assert sum(block.count for block in fill(path, sweep)) == new
    after = dated_chunks(path)
    assert before.items() <= after.items()
    numbers, status, expected = stored(path)
    assert (status == 1).all()
    np.testing.assert_array_equal(numbers, expected)
    assert sorted(open_store(path)["alpha"].values) == list(open_store(path)["alpha"].values)
    assert prepare(path, make_sweep()).pending_blocks() == []  # the smaller sweep is a part of it


def test_a_sweep_may_ask_for_less_than_the_store_holds(path, make_sweep):
    prepare(path, make_sweep(instances=8))
    small = prepare(path, make_sweep(alpha=[4], instances=2, starts=random(1)))
    assert small.status().shape == (2, 8, 2)
    assert small.wanted().sum() == sum(block.count for block in small.pending_blocks()) == 2


def test_a_partly_filled_block_keeps_what_is_there(path, make_sweep):
    fill(path, make_sweep(instances=3))
    fill(path, make_sweep(instances=6), add=0.5)
    data = open_store(path)
    numbers, status, expected = stored(path)
    assert (status == 1).all()
    late = (data["instance"].values >= 3)[None, :, None]
    np.testing.assert_array_equal(numbers, expected + 0.5 * late)


@pytest.mark.parametrize("cut", ["data", "last key", "first key", "data and keys"])
@pytest.mark.parametrize("then", [4, 5, 9])
def test_a_growth_that_was_cut_short_recovers(path, make_sweep, cut, then):
    fill(path, make_sweep())
    group = zarr.open_group(str(path), mode="r+")
    if "data" in cut:
        for name in ("recovery_time", "status", "overlap"):
            array = group[name]
            array.resize((array.shape[0], 7, *array.shape[2:]))
    if "key" in cut:
        group["instance"].resize((7,))  # longer, and not yet filled
    if cut == "last key":
        group["alpha"].resize((3,))
    if cut == "first key":
        group["measurements"].resize((3,))
    sweep = make_sweep(instances=then)
    assert sum(block.count for block in fill(path, sweep, add=0.5)) == 2 * 2 * (then - 4)
    numbers, status, expected = stored(path)
    assert numbers.shape == (2, then, 2)
    assert (status == 1).all()
    assert set((numbers - expected)[:, :4].ravel()) == {0.0}


def test_a_flipped_byte_is_an_error_wherever_it_is(path, make_sweep):
    fill(path, make_sweep())
    file = path / "recovery_time/c/0/0/0"  # all chunks, and their index
    good = file.read_bytes()
    for position in range(0, len(good), 11):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        file.write_bytes(bad)
        with pytest.raises(Exception, match=r"(?i)checksum|crc"):
            stored(path)
    file.write_bytes(good)
    stored(path)


def test_other_settings_are_refused_with_what_differs(path, make_sweep):
    fill(path, make_sweep())
    before = dated_chunks(path)
    with pytest.raises(StoreMismatchError) as refused:
        prepare(path, make_sweep(noise=0.5, loss={"kind": "normalised_quartic", "a": 0.02}))
    message = str(refused.value)
    assert "noise is None in the store and 0.5 now" in message
    assert "loss.a is 0.01 in the store and 0.02 now" in message
    assert "another name" in message
    assert dated_chunks(path) == before


def test_what_decides_no_result_is_not_refused(path, make_sweep):
    fill(path, make_sweep())
    sweep = make_sweep(block_instances=3, cluster={"kind": "local", "workers": 3})
    assert prepare(path, sweep).pending_blocks() == []


def test_other_code_is_refused_with_its_files(path, make_sweep):
    prepare(path, make_sweep())
    group = zarr.open_group(str(path), mode="r+")
    group.attrs["code"] = group.attrs["code"] | {"physics/flow.py": "0123456789abcdef"}
    content = root_content(path)
    write_skeleton(path, KEYS, content)  # as that code would have left it
    publish(path, content)
    with pytest.raises(StoreMismatchError, match=r"different version of the code \(physics/flow\.py changed"):
        prepare(path, make_sweep())


METHODS = (
    "def value({0}f, y): return (f - y) ** 2\n"
    "def slope({0}f, y): return 2 * (f - y)\n"
    "def curvature({0}f, y): return 2 + 0 * f\n"
)
OWN_LOSSES = {
    "a_class": "class Loss:\n" + indent(METHODS.format("self, "), "    "),
    "an_object": "from types import SimpleNamespace\n"
    + METHODS.format("")
    + "Loss = SimpleNamespace(value=value, slope=slope, curvature=curvature)\n",
}


@pytest.mark.parametrize("name", OWN_LOSSES)
def test_an_edited_loss_of_the_user_is_refused(path, make_sweep, tmp_path, name):
    file, source = tmp_path / f"{name}.py", OWN_LOSSES[name]
    file.write_text(source)
    sweep = make_sweep(loss={"kind": "custom", "path": f"{name}.Loss", "directory": str(tmp_path)}).trusted()
    prepare(path, sweep)
    file.write_text("# a remark\n" + source)
    prepare(path, sweep)
    file.write_text(source.replace("** 2", "** 4"))
    with pytest.raises(StoreMismatchError, match=rf"{name}\.Loss"):
        prepare(path, sweep)


def test_a_creation_that_fails_leaves_no_store(path, make_sweep):
    sweep = make_sweep()
    good = layout(sweep, N)
    bad = replace(good, variables={**good.variables, "odd": Variable(("nowhere",), "float32", "fails")})
    with pytest.raises(KeyError):
        BlockStore.prepare(path, sweep, bad)
    assert not path.exists()
    fill(path, sweep)
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        "N12.records",
        "N12.skeleton-twin.json",
        "N12.skeleton.json",
        "N12.zarr",
    ]  # the draft is cleared away
    assert (stored(path)[1] == 1).all()


def test_a_folder_that_is_no_store_is_refused(path, make_sweep):
    path.mkdir(parents=True)
    with pytest.raises(DamagedStoreError, match="not a store of phasepipe"):
        prepare(path, make_sweep())


def test_every_array_says_what_it_is(path, make_sweep):
    fill(path, make_sweep(snapshots={"instances": 1, "starts": 1}))
    with xr.open_zarr(path, consolidated=False) as data:
        for name, variable in data.variables.items():
            assert variable.attrs.get("long_name"), name
            assert variable.attrs.get("units"), name
        assert data["outcome"].attrs["flag_meanings"].split()[1] == "recovered"
        assert data.attrs["specification"]["recovery_threshold"] == 0.99
        assert len(data.attrs["specification_hash"]) == 16
        assert data.attrs["package_versions"]["numpy"] == np.__version__


SOURCE = '''"""A module."""
import numpy as np

def norm(x, scale=1.0):
    """A norm."""
    return np.sqrt(scale * x @ x)
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('"""A module."""', '"""Another."""  # remark', True),
        ('    """A norm."""\n', "", True),
        ("scale * x @ x", "(\n        scale * x @ x\n    )", True),
        ("import numpy as np\n", "import numpy as np\n\n\n# a comment\n", True),
        ("scale * x @ x", "scale * (x @ x)", False),
        ("scale=1.0", "scale=1.0000001", False),
        ("scale=1.0", "scale=None", False),
        ("scale=1.0", "scale", False),
        ("np.sqrt", "np.cbrt", False),
        ("return np.sqrt(scale * x @ x)", "np.sqrt(scale * x @ x)", False),
    ],
)
def test_source_hash_sees_code_and_nothing_else(old, new, same):
    assert old in SOURCE
    assert (source_hash(SOURCE.replace(old, new)) == source_hash(SOURCE)) == same
