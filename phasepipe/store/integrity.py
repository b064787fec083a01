"""Find damage in a store and mark damaged blocks as pending, so that the next run computes them again."""

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
    status = opened.status
    done = _readable_status(status, found)
    for name, array in arrays_of_data(opened):
        for place in np.ndindex(*array.cdata_shape):
            block = block_of(array, status, place)
            if not (store / chunk_key(name, array, place)).exists():
                if done[region_of(array, place)[: done.ndim]].any():
                    found.blocks.setdefault(block, f"{name}: a chunk is missing")
                continue
            found.chunks += 1
            try:
                array[region_of(array, place)]
            except Exception as error:  # each codec raises its own type of error
                found.blocks.setdefault(block, f"{name}: {error}")
    for block in np.ndindex(*status.cdata_shape):
        here = done[region_of(status, block)]
        if here.any() and block not in found.blocks:
            try:
                wrong = complaint(opened, block, here)
            except (KeyError, TypeError, ValueError) as error:
                wrong = f"its record is malformed ({type(error).__name__})"
            if wrong is not None:
                found.blocks[block] = wrong


def write_missing_records(store: Path, found: Findings) -> None:
    """Add the missing block records to an undamaged store of an earlier version."""
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
    found.notes.append("made by an earlier version; block records were added")


def find_incomplete_blocks(store: Path) -> Blocks:
    """Blocks marked as done that lack a chunk or an outcome: a quick check that reads few chunks."""
    opened = OpenedStore.at(store)
    status = opened.status
    found = Findings()
    done = _readable_status(status, found)
    incomplete: Blocks = set(found.blocks)
    for block in np.ndindex(*status.cdata_shape):
        here = done[region_of(status, block)]
        if here.any() and (_lacks_chunk(opened, block, done) or _lacks_outcome(opened, block, here)):
            incomplete.add(block)
    return incomplete


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
    except Exception:  # each codec raises its own type of error
        return True
    return bool((done & (outcome == Outcome.PENDING)).any())


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
    """Remove the results of ``blocks`` from the store: status first, then chunks and records."""
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
    """Blocks with a ``wrong`` entry; ``wrong`` has the shape of ``status``."""
    status = OpenedStore.at(store).status
    return {status_chunk(status, tuple(position)) for position in np.argwhere(wrong)}


def _readable_status(status: zarr.Array[Any], found: Findings) -> NDArray[np.bool_]:
    """Which entries are done, as far as their chunks can be read; shape of ``status``."""
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
            found.blocks[place] = f"status: {values.max()} is not a valid value"
        done[region] = values == Status.DONE
    return done
