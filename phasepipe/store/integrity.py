"""Finds damage in a store and marks what is damaged as pending, so that the next run computes it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phasepipe.store.layout import Status
from phasepipe.store.metadata_copy import (
    damaged_copies,
    differing_files,
    read_skeleton,
    repair_copies,
    restore,
)

Blocks = set[tuple[int, ...]]


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
    blocks: dict[tuple[int, ...], str] = field(default_factory=dict)
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
    """Read every chunk of every array of data; a block with an unreadable or lost one is damaged."""
    group = zarr.open_group(str(store), mode="r")
    status = _array(group, "status")
    done = _readable_status(status, found)
    for name, array in group.arrays():
        if name == "status" or not _follows(array, status):
            continue
        for place in np.ndindex(*array.cdata_shape):
            file = store / name / array.metadata.encode_chunk_key(place)
            block = _block_of(array, status, place)
            if not file.exists():
                if done[_region(array, place)[: done.ndim]].any():
                    found.blocks.setdefault(block, f"{name}: a chunk is lost")
                continue
            found.chunks += 1
            try:
                array[_region(array, place)]
            except Exception as error:  # every codec has errors of its own
                found.blocks.setdefault(block, f"{name}: {error}")


def mark_pending(store: Path, blocks: Iterator[tuple[int, ...]] | list[tuple[int, ...]]) -> None:
    """Take the results of ``blocks`` out of the store: status first, then unreadable chunks."""
    group = zarr.open_group(str(store), mode="r+")
    status = _array(group, "status")
    chosen = set(blocks)
    for block in chosen:
        _chunk_file(store, "status", status, block).unlink(missing_ok=True)
    for name, array in group.arrays():
        if name == "status" or not _follows(array, status):
            continue
        for place in np.ndindex(*array.cdata_shape):
            if _block_of(array, status, place) in chosen:
                _chunk_file(store, name, array, place).unlink(missing_ok=True)


def status_chunk(status: zarr.Array[Any], position: tuple[int, ...]) -> tuple[int, ...]:
    """Place of the block that holds a position."""
    return tuple(int(i) // size for i, size in zip(position, status.chunks, strict=True))


def blocks_where(store: Path, wrong: NDArray[np.bool_]) -> Blocks:
    """Blocks with a ``wrong`` entry; shape of ``wrong`` is that of status."""
    status = _array(zarr.open_group(str(store), mode="r"), "status")
    return {status_chunk(status, tuple(position)) for position in np.argwhere(wrong)}


def _readable_status(status: zarr.Array[Any], found: Findings) -> NDArray[np.bool_]:
    """Which entries are done, as far as can be read; shape of status."""
    done = np.zeros(status.shape, bool)
    for place in np.ndindex(*status.cdata_shape):
        found.chunks += 1
        region = _region(status, place)
        try:
            values = np.asarray(status[region])
        except Exception as error:
            found.blocks[place] = f"status: {error}"
            continue
        if (values > max(Status)).any():
            found.blocks[place] = f"status: value {values.max()} is none"
        done[region] = values == Status.DONE
    return done


def _follows(array: zarr.Array[Any], status: zarr.Array[Any]) -> bool:
    """Whether the array is cut along the blocks, not a coordinate."""
    return array.ndim >= status.ndim


def _block_of(array: zarr.Array[Any], status: zarr.Array[Any], place: tuple[int, ...]) -> tuple[int, ...]:
    """Block that a chunk of an array belongs to; chunks of snapshots hold one instance each."""
    first = [index * size for index, size in zip(place, array.chunks, strict=True)][: status.ndim]
    return status_chunk(status, tuple(first))


def _region(array: zarr.Array[Any], place: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(index * size, (index + 1) * size) for index, size in zip(place, array.chunks, strict=True)
    )


def _chunk_file(store: Path, name: str, array: zarr.Array[Any], place: tuple[int, ...]) -> Path:
    return store / name / array.metadata.encode_chunk_key(place)


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array
