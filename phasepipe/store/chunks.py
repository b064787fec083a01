"""Chunk files of a block: a block is one chunk of ``status`` and all data chunks of the same entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

Place = tuple[int, ...]


@dataclass(frozen=True)
class OpenedStore:
    """A store with its arrays, opened once, because opening takes longer than reading a chunk of each."""

    path: Path
    attributes: Mapping[str, Any]
    arrays: Mapping[str, zarr.Array[Any]]

    @classmethod
    def at(cls, path: Path, mode: Literal["r", "r+"] = "r") -> OpenedStore:
        """Open the store ``path``."""
        group = zarr.open_group(str(path), mode=mode)
        return cls(path, group.attrs.asdict(), dict(sorted(group.arrays())))

    @property
    def status(self) -> zarr.Array[Any]:
        """The array that marks computed entries; each of its chunks is a block."""
        return self.arrays["status"]


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a group."""
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def arrays_of_data(store: OpenedStore) -> Iterator[tuple[str, zarr.Array[Any]]]:
    """The data arrays, in order of their names, without ``status`` and coordinates."""
    for name, array in store.arrays.items():
        if name != "status" and array.ndim >= store.status.ndim:
            yield name, array


def block_of(array: zarr.Array[Any], status: zarr.Array[Any], place: Place) -> Place:
    """Block that a chunk of an array belongs to; a block has one snapshot chunk for each instance."""
    first = [index * size for index, size in zip(place, array.chunks, strict=True)][: status.ndim]
    return status_chunk(status, tuple(first))


def status_chunk(status: zarr.Array[Any], position: tuple[int, ...]) -> Place:
    """Index of the block that holds a position."""
    return tuple(int(i) // size for i, size in zip(position, status.chunks, strict=True))


def region_of(array: zarr.Array[Any], place: Place) -> tuple[slice, ...]:
    """The entries of an array that one of its chunks holds."""
    return tuple(
        slice(index * size, (index + 1) * size) for index, size in zip(place, array.chunks, strict=True)
    )


def chunk_key(name: str, array: zarr.Array[Any], place: Place) -> str:
    """File of a chunk, relative to its store."""
    return f"{name}/{array.metadata.encode_chunk_key(place)}"


def places_of_block(array: zarr.Array[Any], status: zarr.Array[Any], block: Place) -> Iterator[Place]:
    """Indices of the chunks of an array that belong to a block."""
    spans = [range(count) for count in array.cdata_shape]
    for at, (index, width) in enumerate(zip(block, status.chunks, strict=True)):
        size, first = array.chunks[at], index * width
        last = min(first + width, array.shape[at])
        spans[at] = range(first // size, -(-last // size))
    for offset in np.ndindex(*map(len, spans)):
        yield tuple(span[index] for span, index in zip(spans, offset, strict=True))


def files_of_block(store: OpenedStore, block: Place) -> Iterator[str]:
    """The existing data chunk files of a block, relative to the store."""
    for name, array in arrays_of_data(store):
        for place in places_of_block(array, store.status, block):
            key = chunk_key(name, array, place)
            if (store.path / key).is_file():
                yield key
