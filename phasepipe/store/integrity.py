"""Finds damage in a store and marks what is damaged as pending, so that the next run computes it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phasepipe.log import logger
from phasepipe.physics.outcomes import Outcome
from phasepipe.store.atomic import flush_all
from phasepipe.store.chunks import (
    OpenedStore,
    Place,
    arrays_of_data,
    block_of,
    chunk_key,
    places_of_block,
    region_of,
    status_chunk,
)
from phasepipe.store.layout import Status
from phasepipe.store.lock import holder
from phasepipe.store.metadata_copy import (
    damaged_copies,
    differing_files,
    read_skeleton,
    repair_copies,
    restore,
)
from phasepipe.store.publishing import publish, root_content
from phasepipe.store.records import (
    RECORDED,
    complaint,
    forget_records,
    make_record,
    record_file,
    write_record,
)

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
        Damaged blocks: place of the status chunk, and why.
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


def check_skeleton(store: Path, mend: bool) -> Findings:
    """Compare metadata and coordinates with their copy; put them back if ``mend``."""
    found = Findings()
    copies = [path.name for path in damaged_copies(store)]
    if mend:
        repair_copies(store)
    skeleton = read_skeleton(store)
    if skeleton is None:
        found.notes.append("no whole copy of metadata; the next run writes one")
        found.files = copies
        return found
    found.files = copies + differing_files(store, skeleton)
    if mend:
        restore(store, skeleton)
    return found


def check_chunks(store: Path, found: Findings) -> None:
    """Read every chunk of every array of data, and compare what is done with the records.

    A block with a chunk that is lost, unreadable or not the one that was written is damaged.
    """
    opened = OpenedStore.at(store)
    status = opened.status
    done = _readable_status(status, found)
    for name, array in arrays_of_data(opened):
        for place in np.ndindex(*array.cdata_shape):
            block = block_of(array, status, place)
            if not (store / chunk_key(name, array, place)).exists():
                if done[region_of(array, place)[: done.ndim]].any():
                    found.blocks.setdefault(block, f"{name}: a chunk is lost")
                continue
            found.chunks += 1
            try:
                array[region_of(array, place)]
            except Exception as error:  # every codec has errors of its own
                found.blocks.setdefault(block, f"{name}: {error}")
    for block in np.ndindex(*status.cdata_shape):
        here = done[region_of(status, block)]
        if here.any() and block not in found.blocks:
            try:
                wrong = complaint(opened, block, here)
            except (KeyError, TypeError, ValueError) as error:
                wrong = f"its record is no record ({type(error).__name__})"
            if wrong is not None:
                found.blocks[block] = wrong


def write_missing_records(store: Path, found: Findings) -> None:
    """Let a store of an earlier version, in which nothing is wrong, have the records of all its blocks."""
    opened = OpenedStore.at(store)
    if opened.attributes.get(RECORDED) or found.damaged:
        return
    status = opened.status
    done = np.asarray(status[...]) == Status.DONE
    files = []
    for block in np.ndindex(*status.cdata_shape):
        here = done[region_of(status, block)]
        if here.any() and not record_file(store, block).exists():
            files.append(write_record(store, block, make_record(opened, block, here)))
    flush_all(files)
    publish(store, root_content(store, {RECORDED: 1}))
    found.notes.append("made by an earlier version; its blocks are bound by records from now on")


def find_holes(store: Path) -> Blocks:
    """Blocks that count as done and lack a chunk or an outcome; what a quick look at a whole store sees."""
    opened = OpenedStore.at(store)
    status = opened.status
    found = Findings()
    done = _readable_status(status, found)
    holes: Blocks = set(found.blocks)
    for block in np.ndindex(*status.cdata_shape):
        here = done[region_of(status, block)]
        if here.any() and (_lacks_chunk(opened, block, done) or _lacks_outcome(opened, block, here)):
            holes.add(block)
    return holes


def _lacks_chunk(store: OpenedStore, block: Place, done: NDArray[np.bool_]) -> bool:
    for name, array in arrays_of_data(store):
        for place in places_of_block(array, store.status, block):
            lost = not (store.path / chunk_key(name, array, place)).exists()
            if lost and done[region_of(array, place)[: done.ndim]].any():
                return True
    return False


def _lacks_outcome(store: OpenedStore, block: Place, done: NDArray[np.bool_]) -> bool:
    if "outcome" not in store.arrays:
        return False
    try:
        outcome = np.asarray(store.arrays["outcome"][region_of(store.status, block)])
    except Exception:  # every codec has errors of its own
        return True
    return bool((done & (outcome == Outcome.PENDING)).any())


def withdraw_holed_receipts(root: Path) -> None:
    """Let the next workflow in the folder of a sweep run the stages whose stores have holes.

    A stage that runs finds the holes itself and computes them again, but Snakemake runs none whose receipts
    are there. Nothing is done while somebody writes, or where a store cannot be read: the stage will say so.
    """
    if holder(root / "workflow.lock") is not None:
        return
    for stage in ("instances", "runs", "spectra"):
        receipts = sorted(root.glob(f"{stage}/N*.done"))
        stores = sorted(root.glob(f"{stage}/N*.zarr")) if receipts else []
        if any(_has_holes(store) for store in stores):
            logger.warning("%s lacks what counts as done; it is computed again", root / stage)
            for receipt in receipts:
                receipt.unlink(missing_ok=True)


def _has_holes(store: Path) -> bool:
    try:
        return holder(store.with_suffix(".lock")) is None and bool(find_holes(store))
    except Exception:  # Zarr has many errors for a store that is none
        return False


def mark_pending(store: Path, blocks: Iterable[Place]) -> None:
    """Take the results of ``blocks`` out of the store: status first, then chunks and records."""
    opened = OpenedStore.at(store)
    status = opened.status
    chosen = set(blocks)
    for block in chosen:
        (store / chunk_key("status", status, block)).unlink(missing_ok=True)
    for name, array in arrays_of_data(opened):
        for block in chosen:
            for place in places_of_block(array, status, block):
                (store / chunk_key(name, array, place)).unlink(missing_ok=True)
    forget_records(store, chosen)


def blocks_where(store: Path, wrong: NDArray[np.bool_]) -> Blocks:
    """Blocks with a ``wrong`` entry; shape of ``wrong`` is that of status."""
    status = OpenedStore.at(store).status
    return {status_chunk(status, tuple(position)) for position in np.argwhere(wrong)}


def _readable_status(status: zarr.Array[Any], found: Findings) -> NDArray[np.bool_]:
    """Which entries are done, as far as can be read; shape of status."""
    done = np.zeros(status.shape, bool)
    for place in np.ndindex(*status.cdata_shape):
        found.chunks += 1
        region = region_of(status, place)
        try:
            values = np.asarray(status[region])
        except Exception as error:
            found.blocks[place] = f"status: {error}"
            continue
        if (values > max(Status)).any():
            found.blocks[place] = f"status: value {values.max()} is none"
        done[region] = values == Status.DONE
    return done
