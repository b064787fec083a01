"""Moves finished blocks from files of their own into the arrays of their store, and removes blocks from it.

Only the process that holds the lock of a store does this. Files are replaced, never changed, in the order
data, records, ``status``, each flushed to disk before the next, and the file of a block is removed last: a
kill or a power failure at any moment leaves each block in a file of its own or in the arrays, and packing it
twice changes nothing.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from phasepipe.log import logger
from phasepipe.store.atomic import flush_all, remove
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.layout import Block, Status
from phasepipe.store.records import Record, changed_files, done_of, misplaced
from phasepipe.store.shards import Place
from phasepipe.store.unpacked import block_of, drafts, read_unpacked, remove_drafts, unpacked_files

_SHARE = 0.02  # of the time of the process that packs
_LEAST_PAUSE = 2.0  # seconds between packing
_LATEST = 90.0  # seconds after which a network disk has shown new files; NFS caches folders for 60

Contents = dict[Path, bytes | None]  # of files; None removes one
Chunks = dict[tuple[str, Place], bytes | None]  # by array and place; None removes one


def pack(path: Path) -> int:
    """Move all finished blocks of a store into its arrays; return their number."""
    files = unpacked_files(path)
    if not files:
        return 0
    store, together = OpenedStore.at(path), defaultdict(list)
    for file in files:
        block = block_of(file)
        together[None if block is None else store.status.file_of(block)].append(file)
    return sum(_pack(store, group) for group in together.values())  # each group changes the same files


def pack_finished(path: Path, blocks: Iterable[Block]) -> None:
    """Pack until all ``blocks`` are in the arrays; on a network disk, new files may appear late."""
    end = time.monotonic() + _LATEST
    while True:
        pack(path)
        store = OpenedStore.at(path)
        lacking = [
            block
            for block in blocks
            if (
                block.todo & ~store.done(store.block_at(span.start for span in block.region))[_shape(block)]
            ).any()
        ]
        if not lacking or time.monotonic() > end:
            return
        time.sleep(_LEAST_PAUSE)


class Packer:
    """Packs the finished blocks of several stores from time to time, while others are computed."""

    def __init__(self, stores: Sequence[Path]) -> None:
        self._stores = stores
        self._next = time.monotonic() + _LEAST_PAUSE

    def __call__(self) -> None:
        """Pack what is finished, if enough time has passed."""
        began = time.monotonic()
        if began < self._next:
            return
        for store in self._stores:
            pack(store)
        ended = time.monotonic()
        self._next = ended + max(_LEAST_PAUSE, (ended - began) / _SHARE)


def remove_blocks(store: OpenedStore, blocks: Iterable[Place]) -> None:
    """Remove the results of ``blocks`` from a store: status first, then chunks and records."""
    chosen = list(blocks)
    if not chosen:
        return
    _replace(store, _merged(store, {("status", block): None for block in chosen}))
    data: Chunks = {
        (array.name, place): None
        for array in store.data
        for block in chosen
        for place in store.places(array, block)
    }
    _replace(store, _merged(store, data) | changed_files(store, dict.fromkeys(chosen)))
    remove_drafts(store.path)


def write_records(store: OpenedStore, records: Mapping[Place, Record]) -> None:
    """Replace the records of blocks."""
    _replace(store, changed_files(store, records))
    remove_drafts(store.path)


def _shape(block: Block) -> tuple[slice, ...]:
    return tuple(map(slice, block.todo.shape))


def _pack(store: OpenedStore, files: Sequence[Path]) -> int:
    chunks: Chunks = {}
    status: Chunks = {}
    records: dict[Place, Record | None] = {}
    for file, block, record, found in _read(store, files):
        before, done = store.done(block), done_of(record, store.status.chunks)
        if (before & ~done).any():
            logger.warning("%s: discarded a block that was computed before the store grew", file)
            continue
        for key, content in found.items():
            name, _, place = key.partition("/c/")
            chunks[name, tuple(map(int, place.split("/")))] = content
        records[block] = record
        state = np.where(before | done, Status.DONE, Status.PENDING).astype(store.status.dtype)
        status["status", block] = store.status.encoded(state)
    if records:
        _replace(store, _merged(store, chunks) | changed_files(store, records))
        _replace(store, _merged(store, status))
    for file in files:
        file.unlink(missing_ok=True)
    return len(records)


def _read(
    store: OpenedStore, files: Sequence[Path]
) -> Iterator[tuple[Path, Place, Record, dict[str, bytes]]]:
    """Blocks in files of their own that are whole and belong to the store."""
    for file in files:
        found = read_unpacked(file)
        if found is None:
            logger.warning("%s is damaged; its block is computed again", file)
            continue
        record, chunks = found
        block = tuple(map(int, record["block"]))
        if (wrong := misplaced(store, block, record)) is not None:
            logger.warning("%s does not belong to its store (%s); its block is computed again", file, wrong)
            continue
        yield file, block, record, chunks


def _clear_way(store: OpenedStore, path: Path) -> None:
    """Remove a folder in the place of a file, or a file in the place of one of its folders."""
    if path.is_dir():
        remove(path)
    for folder in path.parents:
        if folder == store.path.parent:
            return
        if folder.exists() and not folder.is_dir():
            remove(folder)


def _merged(store: OpenedStore, changes: Chunks) -> Contents:
    """New content of the files of these chunks."""
    by_file: dict[tuple[str, Place], dict[Place, bytes | None]] = defaultdict(dict)
    for (name, place), content in changes.items():
        array = store.arrays[name]
        by_file[name, array.file_of(place)][array.slot_of(place)] = content
    contents: Contents = {}
    for (name, file), slots in by_file.items():
        array = store.arrays[name]
        before = store.file(array, file)
        after = array.merged(before, slots)
        if after != before:
            contents[store.path / array.key(file)] = after
    return contents


def _replace(store: OpenedStore, contents: Contents) -> None:
    """Replace files durably."""
    written: dict[Path, Path] = {}
    try:
        for (path, content), draft in zip(contents.items(), drafts(store.path), strict=False):
            if content is not None:
                written[path] = draft
                draft.write_bytes(content)
        flush_all([*written.values()])
        for path, content in contents.items():
            _clear_way(store, path)
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                written[path].replace(path)
    finally:
        for draft in written.values():
            draft.unlink(missing_ok=True)
    flush_all([*written])
