"""Records of blocks: one small JSON file for each block, stored next to the Zarr store.

A checksum proves that a chunk is as it was written, but not that it belongs where it is: swapped chunks of
two alphas, a chunk of another sweep, and an outdated version of a chunk all have correct checksums. The
record of a block holds its index, the settings and the coordinates that it was computed for, which of its
entries are done, and the SHA-256 digest of each of its chunks. It is written after the chunks and before
``status``. ``phasepipe verify`` compares blocks with their records; blocks that differ are computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from phasepipe.store.atomic import remove
from phasepipe.store.chunks import OpenedStore, Place, files_of_block

RECORDED = "records"  # root attribute of stores whose finished blocks all have records


def records_folder(store: Path) -> Path:
    """Folder of the block records of ``store``."""
    return store.with_suffix(".records")


def record_file(store: Path, block: Place) -> Path:
    """Record of one block."""
    return records_folder(store) / f"{'-'.join(map(str, block))}.json"


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of(content: Any) -> str:
    """Digest of a value that JSON can represent."""
    return digest(json.dumps(content, sort_keys=True).encode())


def make_record(store: OpenedStore, block: Place, done: NDArray[np.bool_]) -> dict[str, Any]:
    """Record of a block with its current chunks; ``done`` says which of its entries are computed."""
    record = {
        "belongs": _belongs(store),
        "block": list(block),
        "keys": keys_of(store, block),
        "shape": list(done.shape),
        "done": np.packbits(done).tobytes().hex(),
        "chunks": _digests(store, block),
    }
    return record | {"digest": digest_of(record)}


def write_record(store: Path, block: Place, record: dict[str, Any]) -> Path:
    """Replace the record of a block; the caller flushes it to disk."""
    path = record_file(store, block)
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".partial")  # a block has one writer
    draft.write_text(json.dumps(record, indent=0))
    draft.replace(path)
    return path


def read_record(store: Path, block: Place) -> dict[str, Any] | None:
    """Record of a block, or None if it is missing or damaged."""
    try:
        record = json.loads(record_file(store, block).read_text())
        stated = record.pop("digest")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None
    return record if stated == digest_of(record) else None


def complaint(store: OpenedStore, block: Place, done: NDArray[np.bool_]) -> str | None:
    """How a block contradicts its record, or None; ``done`` marks its finished entries."""
    record = read_record(store.path, block)
    if record is None:
        return "its record is lost or damaged" if store.attributes.get(RECORDED) else None
    if record["belongs"] != _belongs(store) or record["block"] != list(block):
        return "its record is that of another block or store"
    found = keys_of(store, block)
    for name, stated in record["keys"].items():
        # the axes may have been extended since
        if found.get(name, [])[: len(stated)] != stated:
            return f"it was computed for another {name}"
    shape = tuple(record["shape"])
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(record["done"]), np.uint8), count=int(np.prod(shape)))
    stated_done = np.zeros(done.shape, bool)
    stated_done[tuple(slice(size) for size in shape)] = bits.reshape(shape)
    if (done & ~stated_done).any():
        return "entries are marked as done that were not computed"
    chunks = _digests(store, block)
    for key in sorted(chunks.keys() | record["chunks"].keys()):
        if chunks.get(key) != record["chunks"].get(key):
            return f"{key} is not the chunk that was written there"
    return None


def content_digest(store: Path) -> str:
    """Digest of the results in a store, computed from its block records; equal for equal bits."""
    found = {}
    for file in sorted(records_folder(store).glob("*.json")):
        block = tuple(int(index) for index in file.stem.split("-"))
        record = read_record(store, block)
        found[file.stem] = None if record is None else digest_of([record["chunks"], record["done"]])
    return digest_of(found)


def forget_records(store: Path, blocks: Iterable[Place] | None = None) -> None:
    """Remove the records of some blocks, or of all."""
    if blocks is None:
        remove(records_folder(store))
    for block in blocks or ():
        record_file(store, block).unlink(missing_ok=True)


def keys_of(store: OpenedStore, block: Place) -> dict[str, list[str]]:
    """Coordinates of the positions of a block, by their names."""
    status = store.status
    spans = {
        dimension: slice(index * size, min((index + 1) * size, length))
        for dimension, index, size, length in zip(
            dimensions(status), block, status.chunks, status.shape, strict=True
        )
    }
    found = {}
    for name, array in store.arrays.items():
        dims = dimensions(array)
        if len(dims) == 1 and dims[0] in spans:
            found[name] = [repr(value) for value in np.asarray(array[spans[dims[0]]]).tolist()]
    return found


def dimensions(array: zarr.Array[Any]) -> list[str]:
    """Names of the dimensions of an array."""
    names: Any = array.metadata.dimension_names or ()  # type: ignore[union-attr]
    return [str(name) for name in names]


def _belongs(store: OpenedStore) -> list[str]:
    """Stage, size and settings that a block belongs to."""
    settings = str(store.attributes.get("specification_hash"))
    return [store.path.parent.name, store.path.stem, settings]


def _digests(store: OpenedStore, block: Place) -> dict[str, str]:
    """Digests of the chunks of a block by their files."""
    return {key: digest((store.path / key).read_bytes()) for key in files_of_block(store, block)}
