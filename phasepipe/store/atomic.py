"""Atomic replacement of files and folders: write a draft in the same folder, then rename it over the target.

A rename is atomic within one file system, and a draft in the same folder is on the same file system. The
contents are flushed to disk before the rename and the folder after it, so that a power failure leaves either
the old or the new version.
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

_DEPTH = 6  # levels of parent folders that writing a chunk may have created
_DRAFT = re.compile(r"\.[0-9a-f]{8}-\d+-[0-9a-f]{8}$")


def draft_of(path: Path) -> Path:
    """Hidden path in the same folder as ``path``, different for each call, for preparing its replacement."""
    return path.with_name(f".{path.name}.{machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def drafts_of(path: Path) -> Iterator[Path]:
    """Drafts of ``path`` that any process has left, including those of earlier versions of phasepipe."""
    return path.parent.glob(f".{glob.escape(path.name)}.*")


def remove_leftovers(path: Path) -> None:
    """Remove drafts of ``path`` left by ended processes of this machine; keep those of other machines."""
    for draft in drafts_of(path):
        place, _, rest = draft.name.rpartition(".")[2].partition("-")
        number = rest.partition("-")[0]
        if place == machine() and number.isdigit() and not exists(int(number)):
            remove(draft)


def remove_all_leftovers(folder: Path) -> None:
    """Remove all drafts in ``folder`` and its direct subfolders; no process may be writing there."""
    for depth in (".*.*-*-*", "*/.*.*-*-*"):
        for draft in folder.glob(depth):
            if _DRAFT.search(draft.name):
                remove(draft)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Prepare a file or folder that replaces ``path`` once the block has ended without an error.

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
            path.rename(aside)  # a folder cannot be renamed onto a non-empty one
        draft.replace(path)
        flush_folder(path.parent)
    finally:
        remove(draft)
        remove(aside)


def replace_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file atomically; ``mode`` gives its permissions before the umask is applied."""
    with (
        replacing(path) as draft,
        open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file,
    ):
        file.write(content)


def flush(path: Path) -> None:
    """Flush a file, or a folder with its contents, to disk."""
    if path.is_dir():
        flush_all([file for file in path.rglob("*") if file.is_file()])
    else:
        _flush_file(path)


def flush_all(files: Sequence[Path]) -> None:
    """Flush many files of one file system, and their folders, to disk.

    If the files are flushed one by one, each waits for the journal of the file system: the 22 chunks of a
    block took 140 to 290 ms on a busy disk, but flushing the whole file system took 3 to 11 ms.
    """
    if files and not _flush_file_system(files[0]):
        for file in files:
            _flush_file(file)
        for folder in {parent for file in files for parent in list(file.parents)[:_DEPTH]}:
            flush_folder(folder)


def _flush_file_system(path: Path) -> bool:
    """Flush the file system of ``path`` to disk; returns False if the system has no call for this."""
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
    """Flush the entries of a folder to disk, where the system supports it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
