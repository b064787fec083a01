"""Writes that happen whole or not at all: a draft beside the target is completed, then renamed onto it.

A rename is atomic within one file system, which a draft in the same folder ensures. Contents are flushed to
the disk before the rename and the folder after it, so that a power cut leaves the old or the new version.
"""

from __future__ import annotations

import ctypes
import glob
import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from phasepipe.store.process import exists, machine

_DEPTH = 6  # folders that the chunk of an array may have been the first in
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
    draft, aside = draft_of(path), draft_of(path)
    try:
        yield draft
        flush(draft)
        if draft.is_dir() and path.exists():
            path.rename(aside)  # a folder cannot be renamed onto one that holds something
        draft.replace(path)
        flush_folder(path.parent)
    finally:
        remove(draft)
        remove(aside)


def replace_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file, whole or not at all; ``mode`` are its permissions, from which the umask takes away."""
    with (
        replacing(path) as draft,
        open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file,
    ):
        file.write(content)


def flush(path: Path) -> None:
    """Force a file, or a folder with all it holds, to the disk."""
    if path.is_dir():
        flush_all([file for file in path.rglob("*") if file.is_file()])
    else:
        _flush_file(path)


def flush_all(files: Sequence[Path]) -> None:
    """Force many files of one file system to the disk, with the folders that name them.

    Asked for one by one, every file waits for the disk to write its journal: 22 chunks of a block took 140 to
    290 ms on a busy disk, their file system as a whole 3 to 11 ms.
    """
    if files and not _flush_file_system(files[0]):
        for file in files:
            _flush_file(file)
        for folder in {parent for file in files for parent in list(file.parents)[:_DEPTH]}:
            flush_folder(folder)


def _flush_file_system(path: Path) -> bool:
    """Force all that the file system of ``path`` has not written yet to the disk; False if it cannot."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if sys.platform == "linux" else None
    if syncfs is None:
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)
    return True


def _flush_file(path: Path) -> None:
    with path.open("rb") as opened:
        os.fsync(opened.fileno())


def flush_folder(folder: Path) -> None:
    """Force the entries of a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
