"""Files that hold several chunks: shards of Zarr's codec ``sharding_indexed``, with the index at the start.

The index gives offset and length of every chunk. A chunk is never moved: what is added is appended, and a
chunk that is replaced or removed leaves its bytes behind. A reader that has read the index therefore finds
its chunks in every later version of the file, never the bytes of another chunk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from phasepipe.store.codec import CHECKSUM_BYTES, is_whole, with_checksum

Place = tuple[int, ...]

_ABSENT = 2**64 - 1  # offset and length of a chunk that is not there
_ENTRY = 16  # bytes of an entry of the index


def index_size(counts: Place) -> int:
    """Bytes of the index of a file with this number of chunks along every dimension."""
    return _ENTRY * math.prod(counts) + CHECKSUM_BYTES


def read_index(content: bytes, counts: Place) -> dict[Place, slice]:
    """Where the chunks of a file are, by their place in it.

    Raises
    ------
    ValueError
        If the index is damaged.
    """
    size = index_size(counts)
    if len(content) < size or not is_whole(content[:size]):
        raise ValueError("the checksum of its index is wrong")
    entries = np.frombuffer(content[: size - CHECKSUM_BYTES], "<u8").reshape(*counts, 2)
    found = {}
    for place in map(tuple, np.argwhere(entries[..., 0] != _ABSENT).tolist()):
        offset, length = entries[place].tolist()
        found[place] = slice(offset, offset + length)
    return found


def merge(content: bytes | None, counts: Place, changes: Mapping[Place, bytes | None]) -> bytes | None:
    """A file after ``changes`` of its chunks, None for a chunk to remove; None if no chunk is left.

    Chunks of a damaged file are lost.
    """
    size = index_size(counts)
    try:
        index = read_index(content, counts) if content is not None else {}
    except ValueError:
        content, index = None, {}
    parts = [b"" if content is None else content[size:]]
    end = size + len(parts[0])
    for place, chunk in sorted(changes.items()):
        known = index.pop(place, None)
        if chunk is None:
            continue
        if known is not None and content is not None and content[known] == chunk:
            index[place] = known
            continue
        index[place] = slice(end, end + len(chunk))
        parts.append(chunk)
        end += len(chunk)
    if not index:
        return None
    entries = np.full((*counts, 2), _ABSENT, "<u8")
    for place, where in index.items():
        entries[place] = where.start, where.stop - where.start
    return with_checksum(entries.tobytes()) + b"".join(parts)
