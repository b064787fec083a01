"""Arrays of a store as their metadata describe them: divided into chunks, several of which share a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numcodecs.blosc import Blosc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from phasepipe.store.codec import compressor_of, decode, encode, fill_value
from phasepipe.store.shards import Place, index_size, merge, read_index

_SHARDED, _COMPRESSED, _CHECKED = "sharding_indexed", "blosc", "crc32c"


@dataclass(frozen=True)
class StoredArray:
    """Shape, type and division of an array.

    Attributes
    ----------
    name, dtype, shape
        Name, data type and shape.
    dims
        Names of the dimensions.
    chunks, files
        Entries of a chunk and of a file along every dimension; a file of an array that is not ``sharded``
        (coordinates, and arrays of earlier versions) is one chunk.
    sharded, checked
        Whether files have an index, and whether chunks end with a checksum.
    compressor
        How chunks are compressed; None if they are not.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Place
    dims: tuple[str, ...]
    chunks: Place
    files: Place
    sharded: bool
    checked: bool
    compressor: Blosc | None

    @classmethod
    def of(cls, name: str, metadata: Mapping[str, Any]) -> StoredArray:
        """The array that Zarr's ``metadata`` describe.

        Raises
        ------
        KeyError, TypeError, ValueError, IndexError
            If they are malformed.
        """
        files = _whole_numbers(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        codecs, chunks = metadata["codecs"], files
        sharded = codecs[0]["name"] == _SHARDED
        if sharded:
            inner = codecs[0]["configuration"]
            codecs, chunks = inner["codecs"], _whole_numbers(inner["chunk_shape"])
        compressors = [
            compressor_of(codec["configuration"]) for codec in codecs if codec["name"] == _COMPRESSED
        ]
        return cls(
            name,
            np.dtype(str(metadata["data_type"])).newbyteorder("<"),
            _whole_numbers(metadata["shape"]),
            tuple(map(str, metadata.get("dimension_names") or ())),
            chunks,
            files,
            sharded,
            codecs[-1]["name"] == _CHECKED,
            compressors[0] if compressors else None,
        )

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def grid(self) -> Place:
        """Number of chunks along every dimension."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def per_file(self) -> Place:
        """Number of chunks of a file along every dimension."""
        return tuple(file // chunk for file, chunk in zip(self.files, self.chunks, strict=True))

    def file_of(self, place: Place) -> Place:
        """The file that holds a chunk."""
        return tuple(at // count for at, count in zip(place, self.per_file, strict=True))

    def slot_of(self, place: Place) -> Place:
        """Place of a chunk in its file."""
        return tuple(at % count for at, count in zip(place, self.per_file, strict=True))

    def place_at(self, file: Place, slot: Place) -> Place:
        """The chunk at a place in a file."""
        return tuple(f * n + s for f, n, s in zip(file, self.per_file, slot, strict=True))

    def contains(self, place: Place) -> bool:
        """Whether a chunk holds entries of the array; a file may hold others, which growth will need."""
        return all(at < count for at, count in zip(place, self.grid, strict=True))

    def every_file(self) -> Iterator[Place]:
        """The files that the array may have."""
        return np.ndindex(*(-(-size // span) for size, span in zip(self.shape, self.files, strict=True)))

    def key(self, place: Place) -> str:
        """Name of a file relative to the store, or of a chunk as if it were a file of its own."""
        return "/".join([self.name, "c", *map(str, place)])

    def region(self, place: Place) -> tuple[slice, ...]:
        """The entries that a chunk holds."""
        return tuple(slice(at * n, (at + 1) * n) for at, n in zip(place, self.chunks, strict=True))

    @property
    def index_bytes(self) -> int:
        """Bytes at the start of a file that :meth:`index` needs."""
        return index_size(self.per_file) if self.sharded else 0

    def index(self, content: bytes) -> dict[Place, slice]:
        """Where the chunks of a file are, by their place in it; raises ValueError if that is damaged."""
        if not self.sharded:
            return {(0,) * self.ndim: slice(0, len(content))}
        return read_index(content, self.per_file)

    def merged(self, content: bytes | None, changes: Mapping[Place, bytes | None]) -> bytes | None:
        """A file after changes of its chunks, by their place in it."""
        if not self.sharded:
            (chunk,) = changes.values()
            return chunk
        return merge(content, self.per_file, changes)

    def decoded(self, chunk: bytes) -> NDArray[Any]:
        """Values of a chunk, read-only.

        Raises
        ------
        ValueError, RuntimeError
            If it is damaged.
        """
        values = decode(chunk, self.dtype, compressed=self.compressor is not None)
        return values.reshape(self.chunks)

    def encoded(self, values: NDArray[Any]) -> bytes:
        """A chunk with these values; only coordinates, which are never written here, are not compressed."""
        assert self.compressor is not None
        return encode(values, self.compressor)

    def empty(self) -> NDArray[Any]:
        """A chunk without written entries."""
        return np.full(self.chunks, fill_value(self.dtype), self.dtype)


def _whole_numbers(values: Any) -> Place:
    return tuple(int(value) for value in values)
