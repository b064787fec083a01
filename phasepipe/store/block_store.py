"""Labelled Zarr stores that are filled block by block and whose axes can grow.

One store holds one stage of one sweep at one N. A block is one Zarr chunk of every array, so blocks are
written without locks. ``status`` is written only after the data have reached the disk, so every entry that
is marked as done is complete. Growing appends to an axis and never moves existing entries; readers sort
them (:mod:`phasepipe.results`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phasepipe.log import logger
from phasepipe.specification.sweep import Sweep
from phasepipe.store.atomic import flush_all
from phasepipe.store.chunks import OpenedStore, array_of, status_chunk
from phasepipe.store.creation import create, fill_value
from phasepipe.store.identity import StoreMismatchError, check_identity
from phasepipe.store.layout import Axis, Block, Layout, Status
from phasepipe.store.metadata_copy import differing_files, read_skeleton, restore, write_skeleton
from phasepipe.store.publishing import publish, root_content
from phasepipe.store.records import dimensions, make_record, records_folder, write_record

__all__ = ["BlockStore", "StoreMismatchError", "check_identity", "remove_drafts", "write_block"]


class BlockStore:
    """A Zarr group that is filled block by block."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        # open the arrays directly; the consolidated metadata in the root are for readers
        self.group = zarr.open_group(str(path), mode="r+", use_consolidated=False)

    @classmethod
    def prepare(cls, path: Path, sweep: Sweep, layout: Layout) -> BlockStore:
        """Open the store for ``sweep``, creating it or growing its axes as needed.

        Raises
        ------
        StoreMismatchError
            If the store was made with other settings or by other code.
        """
        if path.exists():
            _restore_metadata(path)
            check_identity(path, sweep, layout.stage)
        else:
            create(path, sweep, layout)
        store = cls(path, layout)
        if missing := layout.variables.keys() - set(store.group.array_keys()):
            raise StoreMismatchError(
                f"{path} was made by an earlier version and lacks {', '.join(sorted(missing))}; "
                "give the sweep another name, or remove that folder"
            )
        store._grow()
        # lets readers tell pending entries from those outside the sweep; the cluster does not affect results
        asked = sweep.model_dump(mode="json", exclude={"cluster"})
        attributes = store.group.attrs.asdict()
        if attributes.get("asked") != asked:
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            attributes |= {"asked": asked, "asked_at": now}
        content = root_content(path, attributes)
        # the copy comes first: if the process ends between these two lines, the next run restores from it
        write_skeleton(path, store._coordinates(), content)
        publish(path, content)
        return store

    def _coordinates(self) -> list[str]:
        keys = [key for axis in self.layout.axes.values() for key in axis.keys]
        return keys + list(self.layout.coordinates)

    def _stored_axis(self, name: str) -> Axis:
        wanted = self.layout.axes[name]
        arrays = {key: _values(array_of(self.group, key)) for key in wanted.keys}
        first = next(iter(arrays.values()))
        whole = min(len(values) for values in arrays.values())
        valid = first[:whole] != fill_value(first.dtype, key=True)
        length = whole if valid.all() else int(np.argmin(valid))
        return Axis({key: values[:length] for key, values in arrays.items()}, wanted.chunk)

    def _grow(self) -> None:
        for dimension, wanted in self.layout.axes.items():
            stored = self._stored_axis(dimension)
            known = set(stored.names())
            new = [index for index, name in enumerate(wanted.names()) if name not in known]
            length = len(stored) + len(new)
            # set the exact length: an interrupted growth may have left extra positions without keys
            self._resize(dimension, length)
            # write the first key last: wherever it is valid, the others are too
            for key in reversed(list(wanted.keys)):
                array = array_of(self.group, key)
                if array.shape != (length,):
                    array.resize((length,))
                if new:
                    array[len(stored) :] = wanted.keys[key][new]
        for dimension, size in self.layout.sizes.items():
            self._resize(dimension, max(size, self._length(dimension)))

    def _arrays_along(self, dimension: str) -> Iterator[tuple[zarr.Array[Any], int]]:
        """Data arrays that have ``dimension``, each with the index of that dimension."""
        for name in (*self.layout.variables, "status"):
            array = array_of(self.group, name)
            dims = dimensions(array)
            if dimension in dims:
                yield array, dims.index(dimension)

    def _length(self, dimension: str) -> int:
        return max(array.shape[at] for array, at in self._arrays_along(dimension))

    def _resize(self, dimension: str, length: int) -> None:
        for array, at in self._arrays_along(dimension):
            if array.shape[at] != length:
                array.resize((*array.shape[:at], length, *array.shape[at + 1 :]))

    def positions(self) -> dict[str, NDArray[np.intp]]:
        """Positions in the store of the axis entries that the sweep asks for."""
        found = {}
        for dimension, wanted in self.layout.axes.items():
            where = {name: index for index, name in enumerate(self._stored_axis(dimension).names())}
            found[dimension] = np.array([where[name] for name in wanted.names()], np.intp)
        return found

    def status(self) -> NDArray[np.uint8]:
        """Status of every position; one dimension for each axis."""
        lengths = tuple(len(self._stored_axis(dimension)) for dimension in self.layout.axes)
        return _values(array_of(self.group, "status"), tuple(slice(n) for n in lengths))

    def wanted(self) -> NDArray[np.bool_]:
        """Which positions of the store the sweep asks for."""
        mask = np.zeros(self.status().shape, bool)
        at = np.ix_(*self.positions().values())
        selected = self.layout.selected
        if selected is None:
            mask[at] = True
        else:
            trailing = mask.ndim - selected.ndim
            mask[at] = selected.reshape(*selected.shape, *[1] * trailing)
        return mask

    def pending_blocks(self) -> list[Block]:
        """Blocks with requested entries that are not done."""
        stored = {dimension: self._stored_axis(dimension) for dimension in self.layout.axes}
        todo = self.wanted() & (self.status() != Status.DONE)
        chunks = tuple(array_of(self.group, "status").chunks)
        blocks = []
        for region in _regions(todo.shape, chunks):
            if todo[region].any():
                keys = {
                    key: values[span]
                    for axis, span in zip(stored.values(), region, strict=True)
                    for key, values in axis.keys.items()
                }
                place = "-".join(str(span.start // size) for span, size in zip(region, chunks, strict=True))
                blocks.append(Block(f"{self.path.stem}-{place}", region, todo[region], keys))
        return blocks


def write_block(path: Path, block: Block, values: Mapping[str, NDArray[Any]]) -> None:
    """Write the results of a block and its record, flush them to disk, then write its status.

    Parameters
    ----------
    path
        The store.
    block
        The block; entries outside ``block.todo`` keep their stored values.
    values
        For each variable the entries of ``block.todo`` in C order, shape (entries, *other dimensions).
    """
    store = OpenedStore.at(path, "r+")
    for name, entries in values.items():
        _write_entries(store.arrays[name], block, entries)
    done = (_values(store.status, block.region) == Status.DONE) | block.todo
    place = status_chunk(store.status, tuple(span.start for span in block.region))
    record = make_record(store, place, done)
    written = [path / key for key in record["chunks"]]
    # flush the data before the status, so that a power failure cannot leave entries marked done without data
    flush_all([*written, write_record(path, place, record)])
    _write_entries(store.status, block, np.full(block.count, Status.DONE, np.uint8))


def _write_entries(array: zarr.Array[Any], block: Block, entries: NDArray[Any]) -> None:
    # write chunks of fill values too: every finished entry has a file, so that a lost file is noticed
    array = array.with_config({"write_empty_chunks": True})
    region = (*block.region, *(slice(size) for size in entries.shape[1:]))
    if block.todo.all():
        array[region] = entries.reshape(*block.todo.shape, *entries.shape[1:])
    else:
        whole = _values(array, region)
        whole[block.todo] = entries
        array[region] = whole


def remove_drafts(path: Path) -> None:
    """Remove drafts of interrupted writes: Zarr writes a chunk to a ``.partial`` file, then renames it."""
    for draft in (*path.rglob("*.partial"), *records_folder(path).glob("*.partial")):
        draft.unlink(missing_ok=True)


def _restore_metadata(path: Path) -> None:
    """Restore metadata and coordinates that differ from their copy: flipped bits or an interrupted growth.

    Positions added by an interrupted growth hold no results yet, so restoring loses nothing.
    """
    skeleton = read_skeleton(path)
    if skeleton and (damaged := differing_files(path, skeleton)):
        logger.warning("%s: restored %s from the metadata copy", path, ", ".join(damaged))
        restore(path, skeleton)


def _regions(shape: Sequence[int], chunks: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    counts = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
    for index in np.ndindex(*counts):
        yield tuple(
            slice(i * chunk, min((i + 1) * chunk, size))
            for i, chunk, size in zip(index, chunks, shape, strict=True)
        )


def _values(array: zarr.Array[Any], region: tuple[slice, ...] = (slice(None),)) -> NDArray[Any]:
    return np.array(array[region])
