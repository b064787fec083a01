"""Find damage in a store and mark damaged blocks as pending, so that the next run computes them again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.files import open_regular
from phasepipe.log import logger
from phasepipe.physics.outcomes import Outcome
from phasepipe.store.arrays import StoredArray
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.layout import Status
from phasepipe.store.lock import holder
from phasepipe.store.metadata_copy import (
    damaged_copies,
    differing_files,
    read_skeleton,
    repair_copies,
    restore,
    write_skeleton,
)
from phasepipe.store.packing import remove_blocks, write_records
from phasepipe.store.publishing import ROOT, publish, root_content
from phasepipe.store.records import (
    RECORDED,
    Record,
    complaint,
    done_of,
    make_record,
    misplaced,
    read_records,
    stored_chunks,
)
from phasepipe.store.shards import Place
from phasepipe.store.unpacked import block_of, read_unpacked, unpacked_files

Blocks = set[Place]


@dataclass
class Findings:
    """What is wrong with one store.

    Attributes
    ----------
    chunks
        Chunks that were read.
    files
        Files of metadata and coordinates that differ from their copy.
    blocks
        Damaged blocks: index of the status chunk, and the reason.
    notes
        What could not be checked.
    """

    chunks: int = 0
    files: list[str] = field(default_factory=list)
    blocks: dict[Place, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def damaged(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.files or self.blocks)


def check_skeleton(store: Path, repair: bool) -> Findings:
    """Compare metadata and coordinates with their copy; restore them if ``repair``."""
    found = Findings()
    copies = [path.name for path in damaged_copies(store)]
    if repair:
        repair_copies(store)
    skeleton = read_skeleton(store)
    if skeleton is None:
        found.notes.append("no intact copy of the metadata; the next run writes one")
        found.files = copies
        return found
    found.files = copies + differing_files(store, skeleton)
    if repair:
        restore(store, skeleton)
    return found


def check_chunks(store: Path, found: Findings) -> None:
    """Read every chunk of every data array, and compare the finished blocks with their records.

    A block is damaged if one of its chunks is missing, unreadable or not the one that was written.
    """
    opened = OpenedStore.at(store)
    done = _readable_status(opened, found)
    for array in opened.data:
        present = _readable_chunks(opened, array, found)
        for place in _missing(done, array, present):
            found.blocks.setdefault(opened.block_of(array, place), f"{array.name}: a chunk is missing")
    records = read_records(store)
    for block, here in _blocks_with(opened, done):
        if block not in found.blocks:
            try:
                wrong = complaint(opened, block, here, records.get(block))
            except (KeyError, TypeError, ValueError) as error:
                wrong = f"its record is malformed ({type(error).__name__})"
            if wrong is not None:
                found.blocks[block] = wrong
    for block in sorted(_unmarked(opened, done, records) - found.blocks.keys()):
        found.blocks[block] = "status: entries that were computed are not marked as done"
    for file in unpacked_files(store):
        found.chunks += 1
        if read_unpacked(file) is None:
            found.files.append(f"{file.parent.name}/{file.name}")


def _unmarked(store: OpenedStore, done: NDArray[np.bool_], records: Mapping[Place, Record]) -> Blocks:
    """Blocks whose records state entries as done that are not; those being packed are left out."""
    unmarked = set()
    for block in records.keys() - set(map(block_of, unpacked_files(store.path))):
        with suppress(KeyError, TypeError, ValueError):  # of a malformed record or of another store
            if misplaced(store, block, records[block]) is None:
                here = done[store.status.region(block)]
                if (done_of(records[block], here.shape) & ~here).any():
                    unmarked.add(block)
    return unmarked


def write_missing_records(store: Path, found: Findings) -> None:
    """Add the missing block records to an undamaged store of an earlier version."""
    opened = OpenedStore.at(store)
    if opened.attributes.get(RECORDED) or found.damaged:
        return
    done = opened.values("status") == Status.DONE
    known = read_records(store)
    write_records(
        opened,
        {
            block: make_record(opened, block, here, stored_chunks(opened, block))
            for block, here in _blocks_with(opened, done)
            if block not in known
        },
    )
    content = root_content(store, {RECORDED: 1})
    if (copied := read_skeleton(store)) is not None:  # or the next run would restore the former state
        coordinates = {Path(name).parts[0] for name in copied if Path(name).name != ROOT}
        write_skeleton(store, sorted(coordinates), content)
    publish(store, content)
    found.notes.append("made by an earlier version; block records were added")


def find_incomplete_blocks(store: Path) -> Blocks:
    """Blocks that were computed but lack a chunk, an outcome or their status.

    The check is quick: it decodes few chunks, and compares none with its digest.
    """
    opened = OpenedStore.at(store)
    found = Findings()
    done = _readable_status(opened, found)
    incomplete: Blocks = set(found.blocks)
    for array in opened.data:
        present = np.zeros(array.grid, bool)
        for file in array.every_file():
            for slot in _index(opened, array, file):
                if array.contains(place := array.place_at(file, slot)):
                    present[place] = True
        incomplete |= {opened.block_of(array, place) for place in _missing(done, array, present)}
    incomplete |= _unmarked(opened, done, read_records(store))
    if "outcome" in opened.arrays:
        unread = Findings()
        outcomes = _readable(opened, opened.arrays["outcome"], unread)
        incomplete |= set(unread.blocks)
        incomplete |= {opened.block_at(at) for at in np.argwhere(done & (outcomes == Outcome.PENDING))}
    return incomplete


def _index(store: OpenedStore, array: StoredArray, file: Place) -> Iterable[Place]:
    """Places of the chunks in a file whose index can be read."""
    size = array.index_bytes
    try:
        with open_regular(store.path / array.key(file)) as opened:
            return array.index(opened.read(size)).keys()
    except (OSError, ValueError):
        return ()


def _missing(done: NDArray[np.bool_], array: StoredArray, present: NDArray[np.bool_]) -> list[Place]:
    """The chunks of an array that are not there although an entry of theirs is done."""
    needed = done[tuple(map(slice, array.shape[: done.ndim]))]
    for axis, size in enumerate(array.chunks[: done.ndim]):
        needed = np.logical_or.reduceat(needed, np.arange(0, needed.shape[axis], size), axis=axis)
    needed = needed.reshape(*needed.shape, *[1] * (array.ndim - done.ndim))
    return [tuple(place) for place in np.argwhere(needed & ~present).tolist()]


def _blocks_with(store: OpenedStore, done: NDArray[np.bool_]) -> Iterator[tuple[Place, NDArray[np.bool_]]]:
    """The blocks with finished entries, and these entries."""
    for block in np.ndindex(*store.status.grid):
        here = done[store.status.region(block)]
        if here.any():
            yield block, here


def _readable(store: OpenedStore, array: StoredArray, found: Findings) -> NDArray[Any]:
    """Values of an array, as far as its chunks can be read; damaged blocks are added to ``found``."""
    values = np.zeros(array.shape, array.dtype)
    for place, chunk in _each_chunk(store, array, found):
        part = values[array.region(place)]
        part[...] = chunk[tuple(map(slice, part.shape))]
    return values


def _readable_chunks(store: OpenedStore, array: StoredArray, found: Findings) -> NDArray[np.bool_]:
    """Which chunks of an array exist; damaged blocks are added to ``found``."""
    present = np.zeros(array.grid, bool)
    for place, _ in _each_chunk(store, array, found):
        present[place] = True
    return present


def _each_chunk(
    store: OpenedStore, array: StoredArray, found: Findings
) -> Iterator[tuple[Place, NDArray[Any]]]:
    """The chunks of an array that can be read; blocks of the others are added to ``found``."""
    for file in array.every_file():
        try:
            content = store.file(array, file)
            index = array.index(content) if content is not None else {}
        except (OSError, ValueError) as error:
            found.chunks += 1
            for slot in np.ndindex(*array.per_file):
                place = array.place_at(file, slot)
                if array.contains(place):
                    found.blocks.setdefault(store.block_of(array, place), f"{array.name}: {error}")
            continue
        for slot, where in index.items():
            place = array.place_at(file, slot)
            if content is None or not array.contains(place):
                continue
            found.chunks += 1
            try:
                yield place, array.decoded(content[where])
            except (ValueError, RuntimeError) as error:
                found.blocks.setdefault(store.block_of(array, place), f"{array.name}: {error}")


def remove_stale_receipts(root: Path) -> None:
    """Remove the receipts of stages with incomplete stores, so that the next workflow runs these stages.

    A running stage finds incomplete blocks and computes them again, but Snakemake skips a stage whose
    receipts exist. Nothing is done while another process writes, or if a store cannot be read: the stage
    itself reports that.
    """
    if holder(root / "workflow.lock") is not None:
        return
    for stage in ("instances", "runs", "spectra"):
        receipts = sorted(root.glob(f"{stage}/N*.done"))
        stores = sorted(root.glob(f"{stage}/N*.zarr")) if receipts else []
        if any(_is_incomplete(store) for store in stores):
            logger.warning("%s lacks data that are marked as done; they are computed again", root / stage)
            for receipt in receipts:
                receipt.unlink(missing_ok=True)


def _is_incomplete(store: Path) -> bool:
    try:
        return holder(store.with_suffix(".lock")) is None and bool(find_incomplete_blocks(store))
    except Exception:  # Zarr raises many types of errors for a folder that is not a store
        return False


def mark_pending(store: Path, blocks: Iterable[Place]) -> None:
    """Remove the results of ``blocks`` from the store, so that the next run computes them again."""
    remove_blocks(OpenedStore.at(store), set(blocks))


def blocks_where(store: Path, wrong: NDArray[np.bool_]) -> Blocks:
    """Blocks with a ``wrong`` entry; ``wrong`` has the shape of ``status``."""
    opened = OpenedStore.at(store)
    return {opened.block_at(position) for position in np.argwhere(wrong)}


def _readable_status(store: OpenedStore, found: Findings) -> NDArray[np.bool_]:
    """Which entries are done, as far as their chunks can be read; shape of ``status``."""
    values = _readable(store, store.status, found)
    for position in np.argwhere(values > max(Status)):
        found.blocks[store.block_at(position)] = f"status: {values.max()} is not a valid value"
    done: NDArray[np.bool_] = values == Status.DONE
    return done
