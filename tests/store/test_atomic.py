"""Writes that happen whole or not at all, and what is left of those that were cut off."""

import os
import stat

import pytest

from phasepipe.store.atomic import draft_of, remove_all_leftovers, replace_bytes, replacing


def test_a_file_for_its_owner_only_stays_so(tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text("old")
    replace_bytes(file, b"new", mode=0o600)
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_is_replaced_and_nothing_is_left(tmp_path):
    for content in ("first", "second"):
        with replacing(tmp_path / "table") as draft:
            draft.mkdir()
            (draft / content).write_text(content)
    assert [entry.name for entry in tmp_path.rglob("*")] == ["table", "second"]
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "table") as draft:
        (draft / "no folder").write_text("")
    assert [entry.name for entry in tmp_path.rglob("*")] == ["table", "second"]


def test_what_killed_writers_left_goes_with_the_next_workflow(tmp_path):
    (tmp_path / "runs").mkdir()
    kept = tmp_path / ".hidden.of-the-user"
    kept.write_text("")
    for place in (tmp_path / "success.zarr", tmp_path / "runs/N12.skeleton.json"):
        draft = draft_of(place)
        draft.with_name(draft.name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-")).mkdir()
    remove_all_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "runs", kept])
    assert not any((tmp_path / "runs").iterdir())
