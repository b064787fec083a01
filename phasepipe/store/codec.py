"""Bytes of a chunk: values, compressed by Blosc, with a CRC32C checksum at the end.

Zarr does the same by :data:`BLOCK_CODECS`, to the byte, but hands every codec of every chunk to another
thread, which takes longer than the compression of a small chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.blosc import BITSHUFFLE, NOSHUFFLE, SHUFFLE, Blosc, decompress  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

CHECKSUM = Crc32cCodec()  # last codec of every array, so that a flipped bit raises an error when it is read
TABLE_CODECS = (BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), CHECKSUM)
# a seventh of the time of zstd, which was 1 % of a sweep at N = 128 to 512, for a fifth more bytes
BLOCK_CODECS = (BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), CHECKSUM)
CHECKSUM_BYTES = 4

_SHUFFLES = {"noshuffle": NOSHUFFLE, "shuffle": SHUFFLE, "bitshuffle": BITSHUFFLE}


def fill_value(dtype: np.dtype[Any], key: bool = False) -> Any:
    """Value of entries that were never written; a ``key`` of an axis never equals it."""
    if dtype.kind == "f":
        return np.nan
    if key:
        return np.iinfo(dtype).max
    return 0


def compressor_of(configuration: Mapping[str, Any]) -> Blosc:
    """The compression that the metadata of Zarr's codec ``blosc`` describe."""
    return Blosc(configuration["cname"], configuration["clevel"], _SHUFFLES[configuration["shuffle"]])


def encode(values: NDArray[Any], compressor: Blosc) -> bytes:
    """A chunk as Zarr writes it with this compression and a checksum."""
    return with_checksum(bytes(compressor.encode(np.ascontiguousarray(values))))


def decode(content: bytes, dtype: np.dtype[Any], compressed: bool = True) -> NDArray[Any]:
    """Values of a chunk, one-dimensional and read-only.

    Raises
    ------
    ValueError
        If the checksum is wrong.
    """
    if not is_whole(content):
        raise ValueError("its checksum is wrong")
    payload = content[:-CHECKSUM_BYTES]
    return np.frombuffer(decompress(payload) if compressed else payload, dtype)


def with_checksum(content: bytes) -> bytes:
    """``content`` with its checksum at the end."""
    return content + int(google_crc32c.value(content)).to_bytes(CHECKSUM_BYTES, "little")


def is_whole(content: bytes) -> bool:
    """Whether the checksum at the end is that of what precedes it."""
    stored = content[-CHECKSUM_BYTES:]
    return with_checksum(content[:-CHECKSUM_BYTES])[-CHECKSUM_BYTES:] == stored
