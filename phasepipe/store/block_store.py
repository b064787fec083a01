"""Labelled Zarr stores that are filled block by block and whose axes can grow.

One store holds one stage of one sweep at one N. A block is one Zarr chunk of every array, so blocks are
written without locks. ``status`` is written after the data: a block counts only when it is whole.
Growing appends to an axis and never moves what is there; readers sort (:mod:`phasepipe.results`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from phasepipe.errors import UserError
from phasepipe.log import logger
from phasepipe.specification.sweep import Sweep
from phasepipe.store.atomic import drafts_of, remove, replacing
from phasepipe.store.layout import Axis, Block, Layout, Status
from phasepipe.store.metadata_copy import differing_files, read_skeleton, restore, write_skeleton
from phasepipe.store.provenance import code_hashes, differences, provenance
from phasepipe.variables import Variable

CHECKSUM = Crc32cCodec()  # last codec of every array: a flipped bit is an error, never a number
CODECS = (BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), CHECKSUM)


class StoreMismatchError(UserError, ValueError):
    """The store holds something else than the sweep asks for; the message says what differs."""


def _fill_value(dtype: np.dtype[Any], key: bool = False) -> Any:
    if dtype.kind == "f":
        return np.nan
    if key:
        return np.iinfo(dtype).max
    return 0


class BlockStore:
    """A Zarr group that is filled block by block."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout
        self.group = zarr.open_group(str(path), mode="r+")

    @classmethod
    def prepare(cls, path: Path, sweep: Sweep, layout: Layout) -> BlockStore:
        """Open the store for ``sweep``, creating it or growing its axes as needed.

        Raises
        ------
        StoreMismatchError
            If the store was made with other settings or by other code.
        """
        if path.exists():
            _mend(path)
            check_identity(path, sweep, layout.stage)
        else:
            _create(path, sweep, layout)
        store = cls(path, layout)
        if missing := layout.variables.keys() - set(store.group.array_keys()):
            raise StoreMismatchError(
                f"{path} was made by an earlier version and lacks {', '.join(sorted(missing))}; "
                "give the sweep another name, or remove that folder"
            )
        store._grow()
        # readers tell what is pending from what nobody asked for; where it is computed is no result
        asked = sweep.model_dump(mode="json", exclude={"cluster"})
        if store.group.attrs.get("asked") != asked:
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            store.group.attrs.update(asked=asked, asked_at=now)
        write_skeleton(path, store._coordinates())
        return store

    def _coordinates(self) -> list[str]:
        keys = [key for axis in self.layout.axes.values() for key in axis.keys]
        return keys + list(self.layout.coordinates)

    def _stored_axis(self, name: str) -> Axis:
        wanted = self.layout.axes[name]
        arrays = {key: _values(_array(self.group, key)) for key in wanted.keys}
        first = next(iter(arrays.values()))
        whole = min(len(values) for values in arrays.values())
        valid = first[:whole] != _fill_value(first.dtype, key=True)
        length = whole if valid.all() else int(np.argmin(valid))
        return Axis({key: values[:length] for key, values in arrays.items()}, wanted.chunk)

    def _grow(self) -> None:
        for dimension, wanted in self.layout.axes.items():
            stored = self._stored_axis(dimension)
            known = set(stored.names())
            new = [index for index, name in enumerate(wanted.names()) if name not in known]
            length = len(stored) + len(new)
            # exactly this long: a growth that was cut short may have left more, which nothing names
            self._resize(dimension, length)
            # the first key comes last: where it is valid, the others are
            for key in reversed(list(wanted.keys)):
                array = _array(self.group, key)
                if array.shape != (length,):
                    array.resize((length,))
                if new:
                    array[len(stored) :] = wanted.keys[key][new]
        for dimension, size in self.layout.sizes.items():
            self._resize(dimension, max(size, self._length(dimension)))

    def _arrays_along(self, dimension: str) -> Iterator[tuple[zarr.Array[Any], int]]:
        """Data arrays that have ``dimension``, and at which place."""
        for name in (*self.layout.variables, "status"):
            array = _array(self.group, name)
            dims = _dimensions(array)
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
        """Status of every position, shape of the axes."""
        lengths = tuple(len(self._stored_axis(dimension)) for dimension in self.layout.axes)
        return _values(_array(self.group, "status"), tuple(slice(n) for n in lengths))

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
        """Blocks with entries that the sweep asks for and that are not done."""
        stored = {dimension: self._stored_axis(dimension) for dimension in self.layout.axes}
        todo = self.wanted() & (self.status() != Status.DONE)
        chunks = tuple(_array(self.group, "status").chunks)
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
    """Write the results of a block, then its status.

    Parameters
    ----------
    path
        The store.
    block
        The block; entries outside ``block.todo`` keep what the store holds.
    values
        For each variable the entries of ``block.todo`` in C order, shape (entries, *other dimensions).
    """
    group = zarr.open_group(str(path), mode="r+")
    done = np.full(block.count, Status.DONE, np.uint8)
    for name, entries in (*values.items(), ("status", done)):
        # a chunk of fill values is written too: what is done has a file, so that a lost file is noticed
        array = _array(group, name).with_config({"write_empty_chunks": True})
        inner = tuple(slice(size) for size in entries.shape[1:])
        region = (*block.region, *inner)
        if block.todo.all():
            array[region] = entries.reshape(*block.todo.shape, *entries.shape[1:])
        else:
            whole = _values(array, region)
            whole[block.todo] = entries
            array[region] = whole


def remove_drafts(path: Path) -> None:
    """Remove what writes cut off have left: Zarr writes a draft beside a chunk, then renames it."""
    for draft in path.rglob("*.partial"):
        draft.unlink(missing_ok=True)


def _mend(path: Path) -> None:
    """Put back metadata and coordinates that differ from their copy: flipped bits, or a growth cut short.

    What a cut growth had added holds no results yet, so going back loses nothing.
    """
    skeleton = read_skeleton(path)
    if skeleton and (damaged := differing_files(path, skeleton)):
        logger.warning("%s: %s put back from the copy beside the store", path, ", ".join(damaged))
        restore(path, skeleton)


def check_identity(path: Path, sweep: Sweep, stage: str) -> None:
    """Refuse a store that was made with other settings or by other code.

    Raises
    ------
    StoreMismatchError
        Says what differs and what to do.
    """
    stored = _attributes(path)
    if found := differences(stored.get("specification", {}), sweep.identity()):
        raise StoreMismatchError(
            f"{path} holds another sweep: {'; '.join(found)}. Results of different settings do not mix: "
            "give the sweep another name, or remove that folder"
        )
    code = differences(stored.get("code", {}), code_hashes(sweep, stage))
    if code:
        files = ", ".join(entry.split(" is ")[0] for entry in code)
        raise StoreMismatchError(
            f"{path} was computed by other code ({files} changed since {stored.get('created')}). "
            "Give the sweep another name, remove that folder, or go back to that version"
        )


def _attributes(path: Path) -> dict[str, Any]:
    try:
        return zarr.open_group(str(path), mode="r").attrs.asdict()
    except (OSError, ValueError) as error:
        raise StoreMismatchError(
            f"{path} is no store of phasepipe ({type(error).__name__}); if it was one, mend it with "
            f"phasepipe verify {path.parent.parent}, else remove it, or give the sweep another name"
        ) from error


def _regions(shape: Sequence[int], chunks: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    counts = [-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True)]
    for index in np.ndindex(*counts):
        yield tuple(
            slice(i * chunk, min((i + 1) * chunk, size))
            for i, chunk, size in zip(index, chunks, shape, strict=True)
        )


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _values(array: zarr.Array[Any], region: tuple[slice, ...] = (slice(None),)) -> NDArray[Any]:
    return np.array(array[region])


def _dimensions(array: zarr.Array[Any]) -> list[str]:
    names: Sequence[Any] = array.metadata.dimension_names or ()  # type: ignore[union-attr]
    return [str(name) for name in names]


def _create(path: Path, sweep: Sweep, layout: Layout) -> None:
    """Make the store beside its place, then move it there: it exists whole or not at all."""
    for left_over in drafts_of(path):  # by a process that was killed; we hold the lock
        remove(left_over)
    with replacing(path) as draft:
        _fill(zarr.create_group(str(draft)), sweep, layout)


def _fill(group: zarr.Group, sweep: Sweep, layout: Layout) -> None:
    """Create the arrays, coordinates and attributes of a new store."""
    sizes = {dimension: len(axis) for dimension, axis in layout.axes.items()} | dict(layout.sizes)
    chunks = {dimension: axis.chunk for dimension, axis in layout.axes.items()} | dict(layout.chunks)
    for name, variable in (*layout.variables.items(), ("status", _status_variable(layout))):
        dtype = np.dtype(variable.dtype)
        group.create_array(
            name,
            shape=tuple(sizes[dimension] for dimension in variable.dims),
            chunks=tuple(max(1, chunks.get(dimension, sizes[dimension])) for dimension in variable.dims),
            dtype=dtype,
            fill_value=_fill_value(dtype),
            dimension_names=variable.dims,
            compressors=CODECS,
            attributes=cast("dict[str, Any]", variable.attributes() | layout.attributes.get(name, {})),
        )
    others = []
    for dimension, axis in layout.axes.items():
        for key, values in axis.keys.items():
            _create_coordinate(group, key, (dimension,), values, layout.attributes.get(key, {}))
            others += [key] * (key != dimension)
    for name, (dims, values, attributes) in layout.coordinates.items():
        _create_coordinate(group, name, dims, values, attributes)
        others += [name] * (dims != (name,))
    # xarray reads the names of coordinates that are no dimensions from this attribute
    group.attrs.update(
        provenance(sweep) | {"code": code_hashes(sweep, layout.stage), "coordinates": " ".join(others)}
    )


def _status_variable(layout: Layout) -> Variable:
    return Variable(tuple(layout.axes), "uint8", "whether the entry has been computed")


def _create_coordinate(
    group: zarr.Group,
    name: str,
    dims: tuple[str, ...],
    values: NDArray[Any],
    attributes: Mapping[str, Any],
) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(1, size) for size in values.shape),
        dtype=values.dtype,
        fill_value=_fill_value(values.dtype, key=True),
        dimension_names=dims,
        compressors=[CHECKSUM],
        attributes=dict(attributes),
    )
    array[...] = values
