"""Records of blocks: lines of JSON next to the Zarr store, one file for the blocks of a status file.

A checksum proves that a chunk is as it was written, but not that it belongs where it is: swapped chunks of
two alphas, a chunk of another sweep, and an outdated version of a chunk all have correct checksums. The
record of a block holds its index, the settings and the coordinates that it was computed for, which of its
entries are done, when it was written, and the SHA-256 digest of each of its chunks. It is written after the
chunks and before ``status``. ``phasepipe verify`` compares blocks with their records; blocks that differ are
computed again.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.files import NotRegularError, read_regular
from phasepipe.store.atomic import remove
from phasepipe.store.chunks import OpenedStore
from phasepipe.store.digests import digest, digest_of
from phasepipe.store.shards import Place

RECORDED = "records"  # root attribute of stores whose finished blocks all have records

Record = dict[str, Any]


def records_folder(store: Path) -> Path:
    """Folder of the block records of ``store``."""
    return store.with_suffix(".records")


def record_file(store: OpenedStore, block: Place) -> Path:
    """File with the record of a block."""
    file = store.status.file_of(block)
    return records_folder(store.path) / f"{'-'.join(map(str, file))}.jsonl"


def make_record(
    store: OpenedStore, block: Place, done: NDArray[np.bool_], chunks: Mapping[str, bytes]
) -> Record:
    """Record of a block with these ``chunks`` by their keys; ``done`` says which entries are computed."""
    record = {
        "belongs": _belongs(store),
        "block": list(block),
        "keys": keys_of(store, block),
        "shape": list(done.shape),
        "done": np.packbits(done).tobytes().hex(),
        "written": round(time.time(), 3),
        "chunks": {key: digest(content) for key, content in sorted(chunks.items())},
    }
    return record | {"digest": digest_of(record)}


def stored_chunks(store: OpenedStore, block: Place) -> dict[str, bytes]:
    """The data chunks of a block by their keys."""
    return {array.key(place): chunk for array in store.data for place, chunk in store.chunks_of(array, block)}


def is_intact(record: Any) -> bool:
    """Whether a record has the digest that it states."""
    if not isinstance(record, dict) or "digest" not in record:
        return False
    return bool(
        digest_of({key: value for key, value in record.items() if key != "digest"}) == record["digest"]
    )


def read_records(store: Path) -> dict[Place, Record]:
    """The intact records of a store, by their blocks."""
    found: dict[Place, Record] = {}
    for file in sorted(records_folder(store).glob("*.json")):  # of an earlier version, one for each block
        found |= _parsed([_text(file)])
    for file in sorted(records_folder(store).glob("*.jsonl")):
        found |= read_file(file)
    return found


def read_file(file: Path) -> dict[Place, Record]:
    """The intact records in a file; none if it is not there."""
    return _parsed(_text(file).splitlines())


def _text(file: Path) -> str:
    try:
        return read_regular(file).decode(errors="replace")
    except (FileNotFoundError, NotRegularError):
        return ""


def _parsed(texts: Iterable[str]) -> dict[Place, Record]:
    found = {}
    for text in texts:
        try:
            record = json.loads(text)
            if is_intact(record):
                found[tuple(map(int, record["block"]))] = record
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def changed_files(store: OpenedStore, changes: Mapping[Place, Record | None]) -> dict[Path, bytes | None]:
    """New content of the files with the records of these blocks; None removes a record, or a file."""
    files: dict[Path, dict[Place, Record | None]] = defaultdict(dict)
    contents: dict[Path, bytes | None] = {}
    for block, record in changes.items():
        files[record_file(store, block)][block] = record
        earlier = records_folder(store.path) / f"{'-'.join(map(str, block))}.json"
        if earlier.exists():
            contents[earlier] = None
    for file, changed in files.items():
        kept = {block: record for block, record in (read_file(file) | changed).items() if record is not None}
        lines = [json.dumps(record) for _, record in sorted(kept.items())]
        contents[file] = "".join(f"{line}\n" for line in lines).encode() if lines else None
    return contents


def complaint(store: OpenedStore, block: Place, done: NDArray[np.bool_], record: Record | None) -> str | None:
    """How a block contradicts its record, or None; ``done`` marks its finished entries."""
    if record is None:
        return "its record is lost or damaged" if store.attributes.get(RECORDED) else None
    if (wrong := misplaced(store, block, record)) is not None:
        return wrong
    if (done & ~done_of(record, done.shape)).any():
        return "entries are marked as done that were not computed"
    chunks = {key: digest(content) for key, content in stored_chunks(store, block).items()}
    for key in sorted(chunks.keys() | record["chunks"].keys()):
        if chunks.get(key) != record["chunks"].get(key):
            return f"{key} is not the chunk that was written there"
    return None


def misplaced(store: OpenedStore, block: Place, record: Record) -> str | None:
    """Why a record is not that of a block, or None."""
    if record["belongs"] != _belongs(store) or record["block"] != list(block):
        return "its record is that of another block or store"
    found = keys_of(store, block)
    for name, stated in record["keys"].items():
        # the axes may have been extended since
        if found.get(name, [])[: len(stated)] != stated:
            return f"it was computed for another {name}"
    return None


def done_of(record: Record, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The entries that a record states as done, in an array of ``shape``, which may be larger."""
    stated = tuple(record["shape"])
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(record["done"]), np.uint8), count=int(np.prod(stated)))
    done = np.zeros(shape, bool)
    done[tuple(map(slice, stated))] = bits.reshape(stated)
    return done


def content_digest(store: Path) -> str:
    """Digest of the results in a store, computed from its block records; equal for equal bits."""
    return digest_of(
        {
            "-".join(map(str, block)): digest_of([record["chunks"], record["done"]])
            for block, record in read_records(store).items()
        }
    )


def forget_records(store: Path) -> None:
    """Remove all records of a store."""
    remove(records_folder(store))


def keys_of(store: OpenedStore, block: Place) -> dict[str, list[str]]:
    """Coordinates of the positions of a block, by their names."""
    status = store.status
    spans = {
        dimension: slice(index * size, min((index + 1) * size, length))
        for dimension, index, size, length in zip(
            status.dims, block, status.chunks, status.shape, strict=True
        )
    }
    return {
        name: [repr(value) for value in values[spans[store.arrays[name].dims[0]]].tolist()]
        for name, values in store.coordinates.items()
    }


def _belongs(store: OpenedStore) -> list[str]:
    """Stage, size and settings that a block belongs to."""
    settings = str(store.attributes.get("specification_hash"))
    return [store.path.parent.name, store.path.stem, settings]
