"""Writes that happen whole or not at all: a draft beside the target is completed, then renamed onto it.

A rename is atomic within one file system, which a draft in the same folder ensures. Contents are flushed to
the disk before the rename and the folder after it, so that a power cut leaves the old or the new version.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from phasepipe.store.process import exists, machine

_DRAFT = re.compile(r"\.[0-9a-f]{8}-\d+-[0-9a-f]{8}$")


def draft_of(path: Path) -> Path:
    """A hidden path beside ``path``, of its own for each call, where its replacement is prepared."""
    return path.with_name(f".{path.name}.{machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def drafts_of(path: Path) -> Iterator[Path]:
    """Drafts that any process has left for ``path``, those of earlier versions too."""
    return path.parent.glob(f".{glob.escape(path.name)}.*")


def remove_leftovers(path: Path) -> None:
    """Remove the drafts for ``path`` of processes that have ended; what another machine left stays."""
    for draft in drafts_of(path):
        place, _, rest = draft.name.rpartition(".")[2].partition("-")
        number = rest.partition("-")[0]
        if place == machine() and number.isdigit() and not exists(int(number)):
            remove(draft)


def remove_all_leftovers(folder: Path) -> None:
    """Remove the drafts of any process in ``folder`` and the folders in it; nobody may be writing there."""
    for depth in (".*.*-*-*", "*/.*.*-*-*"):
        for draft in folder.glob(depth):
            if _DRAFT.search(draft.name):
                remove(draft)


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Prepare a file or folder that takes the place of ``path`` once the block has ended without an error.

    Yields
    ------
    Path of the draft, which does not exist yet; the block creates a file or a folder there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    draft = draft_of(path)
    try:
        yield draft
        flush(draft)
        if draft.is_dir():
            remove(path)  # a folder cannot be renamed onto one that holds something
        draft.replace(path)
        flush_folder(path.parent)
    finally:
        remove(draft)


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with replacing(path) as draft:
        draft.write_bytes(content)


def flush(path: Path) -> None:
    """Force a file, or every file in a folder, to the disk."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    for folder in {file.parent for file in files if path.is_dir()}:
        flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Force the entries of a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
