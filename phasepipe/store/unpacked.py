"""Finished blocks that still have a file of their own, written by the worker that computed them.

A worker writes a block with one file and one flush, and shares no file with another worker. The process that
holds the lock of the store moves the blocks from these files into the arrays, see
:mod:`phasepipe.store.packing`. The first line of a file is the record of the block with the length of every
chunk; the chunks follow in the order of the record, whose digests prove that the file is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from phasepipe.files import open_regular
from phasepipe.store.atomic import draft_of, flush, flush_folder
from phasepipe.store.digests import digest
from phasepipe.store.records import Record, is_intact
from phasepipe.store.shards import Place

_SUFFIX = ".block"


def unpacked_folder(store: Path) -> Path:
    """Folder of the blocks of ``store`` that have files of their own."""
    return store.with_suffix(".unpacked")


def unpacked_file(store: Path, block: Place) -> Path:
    """The file of a finished block."""
    return unpacked_folder(store) / f"{'-'.join(map(str, block))}{_SUFFIX}"


def write_unpacked(store: Path, block: Place, record: Record, chunks: Mapping[str, bytes]) -> Path:
    """Write a finished block durably; it is there wholly or not at all."""
    path = unpacked_file(store, block)
    path.parent.mkdir(exist_ok=True)
    lengths = [len(chunks[key]) for key in record["chunks"]]
    draft = draft_of(path)  # a worker that Dask believes lost may write the same block
    try:
        with draft.open("wb") as file:
            file.write(json.dumps({"record": record, "lengths": lengths}).encode() + b"\n")
            file.writelines(chunks[key] for key in record["chunks"])
        flush(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    flush_folder(path.parent)
    return path


def unpacked_files(store: Path) -> list[Path]:
    """The files of finished blocks."""
    return sorted(unpacked_folder(store).glob(f"*{_SUFFIX}"))


def block_of(file: Path) -> Place | None:
    """The block that a file belongs to by its name."""
    try:
        return tuple(int(index) for index in file.stem.split("-"))
    except ValueError:
        return None


def read_unpacked(file: Path) -> tuple[Record, dict[str, bytes]] | None:
    """Record and chunks of a block; None if the file is damaged or was moved meanwhile."""
    try:
        with open_regular(file) as opened:
            header: Any = json.loads(opened.readline())
            record, lengths = header["record"], header["lengths"]
            chunks = {key: opened.read(length) for key, length in zip(record["chunks"], lengths, strict=True)}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not is_intact(record):
        return None
    whole = all(digest(chunks[key]) == stated for key, stated in record["chunks"].items())
    return (record, chunks) if whole else None


def remove_drafts(store: Path) -> None:
    """Remove what interrupted processes left behind; no process may be writing."""
    folder = unpacked_folder(store)
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.suffix != _SUFFIX or path.name.startswith("."):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # it still holds blocks
        folder.rmdir()


def drafts(store: Path) -> Iterator[Path]:
    """Paths for files that will replace those of the store; on the same file system."""
    folder = unpacked_folder(store)
    folder.mkdir(exist_ok=True)
    while True:
        yield draft_of(folder / "file")
