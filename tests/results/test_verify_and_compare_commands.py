"""``phasepipe verify`` and ``phasepipe compare``: what they say, and with which exit code."""

import shutil

import numpy as np
import pytest
import zarr

from phasepipe.store.folder import SweepFolder
from phasepipe.store.metadata_copy import write_skeleton
from phasepipe.store.publishing import root_content
from tests.chunks import overwrite_chunk


@pytest.fixture(scope="module")
def finished(run_sweep, tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("commands"))


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished.root, tmp_path / "copy")
    return SweepFolder(tmp_path / "copy")


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def pending(folder):
    return int((zarr.open_group(str(folder.store("runs", 12)), mode="r")["status"][...] == 0).sum())


def test_a_sweep_without_damage_is_in_order(phasepipe, folder):
    code, out, _ = phasepipe("verify", folder.root)
    assert code == 0
    assert "no damage found" in out
    for store in ("instances/N12", "runs/N12", "success"):
        assert store in out


def test_damage_is_told_and_changed_only_when_asked(phasepipe, folder):
    overwrite_chunk(folder.store("runs", 12), "overlap/c/0/0/0/0", lambda chunk: b"\0" + chunk[1:])
    code, out, _ = phasepipe("verify", folder.root, "--report-only")
    assert (code, pending(folder)) == (1, 0)
    assert "damage was found; nothing was changed" in out
    code, out, _ = phasepipe("verify", folder.root)
    assert (code, pending(folder)) == (1, 2 * 2)  # a block: two instances with two starts
    assert "run the workflow again to repair it" in out


def test_a_sampled_run_that_came_out_otherwise_is_told(phasepipe, folder):
    group = zarr.open_group(str(folder.store("runs", 12)), mode="r+")
    outcome = group["outcome"][...]
    group["outcome"][...] = np.where(outcome == 2, 3, np.where(outcome == 3, 2, outcome)).astype("uint8")
    shutil.rmtree(folder.root / "runs/N12.records")
    root = folder.store("runs", 12) / "zarr.json"
    root.write_bytes(root_content(root.parent, {"records": 0}))  # as an earlier version made it
    write_skeleton(root.parent, ["measurements", "alpha", "instance"], root.read_bytes())
    shutil.rmtree(folder.table("success"))
    assert phasepipe("verify", folder.root, "--sample", 0, "--report-only")[0] == 0  # checksums are right
    assert phasepipe("verify", folder.root, "--sample", 8)[0] == 1


def test_a_damaged_table_is_told(phasepipe, folder):
    flip(folder.table("success") / "p/c/0/0/0/0")
    code, out, _ = phasepipe("verify", folder.root, "--report-only")
    assert code == 1
    assert "damage was found" in out


@pytest.mark.parametrize("command", [("verify",), ("compare", "elsewhere")])
def test_a_folder_without_a_sweep_is_one_sentence(phasepipe, tmp_path, command):
    code, _, error = phasepipe(*command, tmp_path)
    assert code == 1
    assert error.startswith("phasepipe: ")
    assert "\n" not in error.strip()


def test_copies_have_the_same_bits(phasepipe, finished, folder):
    code, out, _ = phasepipe("compare", finished.root, folder.root)
    assert code == 0
    assert "of 16 common runs, 0 differ in some bits and 0 in their outcome" in out
    assert out.rstrip().endswith("same bits")


def test_fewer_runs_are_told(phasepipe, finished, folder):
    overwrite_chunk(folder.store("runs", 12), "overlap/c/0/0/0/0", lambda chunk: b"\0" + chunk[1:])
    phasepipe("verify", folder.root)
    code, out, _ = phasepipe("compare", finished.root, folder.root)
    assert code == 0
    assert "4 runs exist in only one of the sweeps" in out
    assert "of 12 common runs, 0 differ in some bits" in out
