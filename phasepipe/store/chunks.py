"""Blocks and their chunks: a block is one chunk of ``status`` and all data chunks of the same entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.files import NotRegularError, read_regular
from phasepipe.store.arrays import StoredArray
from phasepipe.store.codec import fill_value
from phasepipe.store.layout import Block, Status
from phasepipe.store.opening import array_metadata, read_root
from phasepipe.store.reading import DamagedStoreError, cure
from phasepipe.store.shards import Place


@dataclass(frozen=True)
class OpenedStore:
    """A store whose files are read directly: a chunk takes Zarr half a millisecond, and a store has many."""

    path: Path
    attributes: Mapping[str, Any]
    arrays: Mapping[str, StoredArray]

    @classmethod
    def at(cls, path: Path) -> OpenedStore:
        """Open the store ``path``.

        Raises
        ------
        DamagedStoreError
            If its metadata cannot be read.
        """
        root = read_root(path)
        try:
            arrays = {
                name: StoredArray.of(name, metadata)
                for name, metadata in sorted(array_metadata(path, root).items())
            }
            store = cls(path, root["attributes"], arrays)
            _ = store.status
        except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
            raise DamagedStoreError(f"{path} is damaged (metadata: {error}); {cure(path)}") from None
        return store

    @property
    def status(self) -> StoredArray:
        """The array that marks computed entries; each of its chunks is a block."""
        return self.arrays["status"]

    @property
    def data(self) -> Iterator[StoredArray]:
        """The data arrays, in order of their names, without ``status`` and coordinates."""
        for name, array in self.arrays.items():
            if name != "status" and array.ndim >= self.status.ndim:
                yield array

    @cached_property
    def coordinates(self) -> dict[str, NDArray[Any]]:
        """The coordinates of the axes."""
        return {
            name: self.values(name)
            for name, array in self.arrays.items()
            if len(array.dims) == 1 and array.dims[0] in self.status.dims
        }

    def file(self, array: StoredArray, file: Place) -> bytes | None:
        """Content of a file of an array, or None if there is none."""
        try:
            return read_regular(self.path / array.key(file))
        except (FileNotFoundError, NotADirectoryError, NotRegularError):
            return None

    def chunks_of(self, array: StoredArray, block: Place) -> Iterator[tuple[Place, bytes]]:
        """The chunks of an array that belong to a block and exist."""
        files: dict[Place, tuple[bytes, dict[Place, slice]]] = {}
        for place in self.places(array, block):
            file = array.file_of(place)
            if file not in files:
                content = self.file(array, file)
                files[file] = (b"", {}) if content is None else (content, array.index(content))
            content, index = files[file]
            if (where := index.get(array.slot_of(place))) is not None:
                yield place, content[where]

    def places(self, array: StoredArray, block: Place) -> Iterator[Place]:
        """Indices of the chunks of an array that belong to a block."""
        spans = [range(count) for count in array.grid]
        for at, (index, width) in enumerate(zip(block, self.status.chunks, strict=True)):
            size, first = array.chunks[at], index * width
            last = min(first + width, array.shape[at])
            spans[at] = range(first // size, -(-last // size))
        for offset in np.ndindex(*map(len, spans)):
            yield tuple(span[index] for span, index in zip(spans, offset, strict=True))

    def block_of(self, array: StoredArray, place: Place) -> Place:
        """The block to which a chunk belongs; a block has one snapshot chunk for each instance."""
        first = [index * size for index, size in zip(place, array.chunks, strict=True)]
        return self.block_at(first[: self.status.ndim])

    def block_at(self, position: Any) -> Place:
        """The block that holds a position."""
        return tuple(int(at) // size for at, size in zip(position, self.status.chunks, strict=True))

    def values(self, name: str) -> NDArray[Any]:
        """All values of an array.

        Raises
        ------
        DamagedStoreError
            If a chunk is damaged.
        """
        array = self.arrays[name]
        whole = np.broadcast_to(array.empty().reshape(-1)[:1], array.shape).copy()
        for file in array.every_file():
            if (content := self.file(array, file)) is None:
                continue
            try:
                for slot, where in array.index(content).items():
                    region = array.region(array.place_at(file, slot))
                    part = whole[region]  # chunks at the end reach beyond the array
                    part[...] = array.decoded(content[where])[tuple(map(slice, part.shape))]
            except (ValueError, RuntimeError) as error:
                raise DamagedStoreError(
                    f"{self.path / array.key(file)} is damaged: {error}; {cure(self.path)}"
                ) from None
        return whole

    def block_values(self, name: str, block: Block) -> NDArray[Any]:
        """Stored values of a block in one array, fill values where nothing is stored.

        The shape is that of ``block.todo``, as far as the array reaches, and its other dimensions.
        """
        array = self.arrays[name]
        spans = [slice(0, size) for size in array.shape]
        for at, span in enumerate(block.region):
            spans[at] = slice(min(span.start, array.shape[at]), min(span.stop, array.shape[at]))
        values = np.full([span.stop - span.start for span in spans], fill_value(array.dtype), array.dtype)
        for place, chunk in self.chunks_of(array, self.block_at(span.start for span in block.region)):
            starts = [
                at * size - span.start for at, size, span in zip(place, array.chunks, spans, strict=True)
            ]
            part = values[
                tuple(slice(start, start + n) for start, n in zip(starts, array.chunks, strict=True))
            ]
            part[...] = array.decoded(chunk)[tuple(map(slice, part.shape))]
        return values

    def done(self, block: Place) -> NDArray[np.bool_]:
        """Which entries of a block are computed, in the shape of a chunk; none if that cannot be read."""
        try:
            chunks = list(self.chunks_of(self.status, block))
            done: NDArray[np.bool_] = self.status.decoded(chunks[0][1]) == Status.DONE
            return done
        except (ValueError, RuntimeError, IndexError):
            return np.zeros(self.status.chunks, bool)
