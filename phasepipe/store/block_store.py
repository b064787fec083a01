"""Labelled Zarr stores that are filled block by block and whose axes can grow.

One store holds one stage of one sweep at one N. A block is one Zarr chunk of every array. A worker writes it
to a file of its own, so that blocks are written without locks, and the process that holds the lock of the
store packs these files into those of the arrays. ``status`` is written only after the data have reached the
disk, so every entry that is marked as done is complete. Growing appends to an axis and never moves existing
entries; readers sort them (:mod:`phasepipe.results`).
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
from phasepipe.store.arrays import StoredArray
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.codec import fill_value
from phasepipe.store.creation import create
from phasepipe.store.history import HISTORY, extended, past_entries
from phasepipe.store.identity import StoreMismatchError, check_identity
from phasepipe.store.layout import Axis, Block, Layout, Status
from phasepipe.store.metadata_copy import differing_files, read_skeleton, restore, write_skeleton
from phasepipe.store.opening import read_attributes
from phasepipe.store.packing import pack
from phasepipe.store.publishing import publish, root_content
from phasepipe.store.records import make_record, stored_chunks
from phasepipe.store.shards import Place
from phasepipe.store.unpacked import read_unpacked, unpacked_file, write_unpacked

__all__ = ["BlockStore", "StoreMismatchError", "check_identity", "is_written", "write_block"]

REACHED = "reached"  # root attribute: the t_max that all finished entries have reached


class BlockStore:
    """A Zarr group that is filled block by block."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        # open the arrays directly; the consolidated metadata in the root are for readers
        self.group = zarr.open_group(str(path), mode="r+", use_consolidated=False)
        self._arrays: dict[str, zarr.Array[Any]] = {}

    def _array(self, name: str) -> zarr.Array[Any]:
        """An array, opened once: Zarr takes a millisecond or two, and growing asks a hundred times."""
        if name not in self._arrays:
            self._arrays[name] = array_of(self.group, name)
        return self._arrays[name]

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
        store._require_extendable()
        store._grow()
        # lets readers tell pending entries from those outside the sweep; the cluster does not affect results
        asked = sweep.model_dump(mode="json", exclude={"cluster"})
        attributes = store.group.attrs.asdict()
        if attributes.get("asked") != asked:
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            attributes |= {"asked": asked, "asked_at": now}
        past = past_entries(attributes)
        sizes = {dimension: len(store._stored_axis(dimension)) for dimension in layout.axes}
        if not past or past[-1].get("sizes") != sizes:
            attributes |= {HISTORY: extended(attributes, sizes=sizes)}
        if layout.t_max is not None:
            attributes.setdefault(REACHED, layout.t_max)
        content = root_content(path, attributes)
        # the copy comes first: if the process ends between these two lines, the next run restores from it
        write_skeleton(path, store._coordinates(), content)
        publish(path, content)
        pack(path)  # what a process that was killed has left
        return store

    def _require_extendable(self) -> None:
        """Refuse coordinates that do not begin with the stored ones, or do not fit into the stored chunks."""
        for name, (dims, values, _) in self.layout.coordinates.items():
            if not dims:
                continue
            stored = _values(self._array(name))
            (dimension,), shared = dims, min(len(stored), len(values))
            room = min(array.chunks[at] for array, at in self._arrays_along(dimension))
            if not np.array_equal(stored[:shared], values[:shared]) or len(values) > max(room, len(stored)):
                raise StoreMismatchError(
                    f"{self.path} has another {name} axis ({len(stored)} values to {stored[-1]:g}), which "
                    f"cannot be extended to {values[-1]:g}; give the sweep another name, or remove that "
                    "folder"
                )

    def _coordinates(self) -> list[str]:
        keys = [key for axis in self.layout.axes.values() for key in axis.keys]
        return keys + list(self.layout.coordinates)

    def _stored_axis(self, name: str) -> Axis:
        wanted = self.layout.axes[name]
        arrays = {key: _values(self._array(key)) for key in wanted.keys}
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
                array = self._array(key)
                if array.shape != (length,):
                    array.resize((length,))
                if new:
                    array[len(stored) :] = wanted.keys[key][new]
        for dimension, size in self.layout.sizes.items():
            self._resize(dimension, max(size, self._length(dimension)))
        for name, (dims, values, _) in self.layout.coordinates.items():
            array = self._array(name)
            if dims and array.shape[0] < len(values):
                array.resize(values.shape)
                array[...] = values

    def _arrays_along(self, dimension: str) -> Iterator[tuple[zarr.Array[Any], int]]:
        """Data arrays that have ``dimension``, each with the index of that dimension."""
        for name in (*self.layout.variables, "status"):
            array = self._array(name)
            dims = self.layout.variables[name].dims if name in self.layout.variables else (*self.layout.axes,)
            if dimension in dims:
                yield array, dims.index(dimension)

    def _length(self, dimension: str) -> int:
        return max(array.shape[at] for array, at in self._arrays_along(dimension))

    def _resize(self, dimension: str, length: int) -> None:
        for array, at in self._arrays_along(dimension):
            if array.shape[at] != length:
                array.resize((*array.shape[:at], length, *array.shape[at + 1 :]))

    def record_continuation(self, pending: int) -> None:
        """Add to the history that a later command computes ``pending`` entries of the store."""
        attributes = read_attributes(self.path)
        *_, last = past_entries(attributes)
        now = extended(attributes, sizes=last.get("sizes"), computes=pending)
        if last.get("started") != now[-1]["started"]:
            content = root_content(self.path, {HISTORY: now})
            write_skeleton(self.path, self._coordinates(), content)
            publish(self.path, content)

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
        status: NDArray[np.uint8] = OpenedStore.at(self.path).values("status")
        return status[tuple(map(slice, lengths))]

    def wanted(self) -> NDArray[np.bool_]:
        """Which positions of the store the sweep asks for."""
        mask = np.zeros([len(self._stored_axis(dimension)) for dimension in self.layout.axes], bool)
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
        todo = self.wanted() & ((self.status() != Status.DONE) | self._unfinished())
        chunks = tuple(self._array("status").chunks)
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

    def _unfinished(self) -> NDArray[np.bool_]:
        """Entries that are done for a smaller ``t_max`` and have to be continued; shape of ``status``."""
        layout, status = self.layout, self.status()
        if layout.unfinished is None or self.group.attrs.asdict().get(REACHED) == layout.t_max:
            return np.zeros(status.shape, bool)
        done: NDArray[np.bool_] = status == Status.DONE
        return done & layout.unfinished(self.path)

    def settle(self) -> None:
        """Note that all entries have reached ``t_max``, so that the next run need not look."""
        if self.group.attrs.asdict().get(REACHED) != self.layout.t_max and not self._unfinished().any():
            content = root_content(self.path, {REACHED: self.layout.t_max})
            write_skeleton(self.path, self._coordinates(), content)
            publish(self.path, content)


def write_block(
    path: Path,
    block: Block,
    values: Mapping[str, NDArray[Any]],
    chosen: Mapping[str, NDArray[np.bool_]] | None = None,
) -> None:
    """Write the results of a block and its record to a file of their own, durably.

    The process that holds the lock of the store moves it into the arrays, see
    :func:`phasepipe.store.packing.pack`.

    Parameters
    ----------
    path
        The store.
    block
        The block; entries outside ``block.todo`` keep their stored values.
    values
        For each variable the entries of ``block.todo`` in C order, shape ``(entries, *other dimensions)``.
    chosen
        For variables that exist only for some entries of the block: which of them ``values`` holds instead.
    """
    store = OpenedStore.at(path)
    place = store.block_at(span.start for span in block.region)
    before = store.done(place)
    chunks = stored_chunks(store, place) if before.any() else {}
    for name, entries in values.items():
        which = (chosen or {}).get(name, block.todo)
        chunks |= _chunks(store, store.arrays[name], place, which, np.asarray(entries), chunks)
    done = before[tuple(map(slice, block.todo.shape))] | block.todo
    write_unpacked(path, place, make_record(store, place, done, chunks), chunks)


def is_written(path: Path, block: Block) -> bool:
    """Whether a worker has already written a block, and died before the stage heard of it.

    A stage packs the files of all blocks before it hands any out: a file that is there is from itself.
    """
    place = OpenedStore.at(path).block_at(span.start for span in block.region)
    return read_unpacked(unpacked_file(path, place)) is not None


def _chunks(
    store: OpenedStore,
    array: StoredArray,
    block: Place,
    which: NDArray[np.bool_],
    entries: NDArray[Any],
    earlier: Mapping[str, bytes],
) -> Iterator[tuple[str, bytes]]:
    """The chunks of an array that get new values: ``entries`` at the positions ``which`` of the block."""
    axes, first = which.ndim, [at * size for at, size in zip(block, store.status.chunks, strict=True)]
    if entries.ndim - 1 != array.ndim - axes or len(entries) != np.count_nonzero(which):
        raise ValueError(f"{array.name} has values of shape {entries.shape} for {which.sum()} entries")
    rows = np.full(which.shape, -1)
    rows[which] = np.arange(len(entries))
    for place in store.places(array, block):
        region = array.region(place)
        within = tuple(
            slice(max(0, span.start - start), span.stop - start)
            for span, start in zip(region, first, strict=False)
        )
        here = rows[within]
        if (here < 0).all():
            continue
        key = array.key(place)
        chunk = array.decoded(earlier[key]).copy() if key in earlier else array.empty()
        part: Any = chunk[tuple(map(slice, here.shape))]  # chunks at the end reach beyond the array
        new: Any = entries[(slice(None), *region[axes:])][here[here >= 0]]
        part[(here >= 0, *map(slice, new.shape[1:]))] = new
        yield key, array.encoded(chunk)


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


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a group."""
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _values(array: zarr.Array[Any]) -> NDArray[Any]:
    return np.array(array[:])
