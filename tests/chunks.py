"""Chunks of a store one by one, as tests read, exchange and damage them: a file of a store holds several."""

from pathlib import Path

from phasepipe.store.chunks import OpenedStore
from phasepipe.store.records import read_records


def data_chunks(store):
    """All chunks of the data arrays and of ``status``, by their keys, for example ``overlap/c/0/1/0/0``."""
    opened = OpenedStore.at(store)
    found = {}
    for array in (opened.status, *opened.data):
        for file in array.every_file():
            content = opened.file(array, file)
            for slot, where in array.index(content).items() if content is not None else ():
                found[array.key(array.place_at(file, slot))] = content[where]
    return found


def content(root, metadata=True):
    """All chunks of the stores of a sweep and, with ``metadata``, all other files, by their places."""
    found = {}
    for store in sorted(root.glob("*/N*.zarr")):
        name = store.relative_to(root).as_posix()
        chunks = data_chunks(store)
        held = {file_of(store, key)[0] for key in chunks}
        found |= {f"{name}/{key}": chunk for key, chunk in chunks.items()}
        others = sorted(store.rglob("*")) if metadata else ()
        found |= {
            file.relative_to(root).as_posix(): file.read_bytes()
            for file in others
            if file.is_file() and file not in held
        }
    return found


def file_of(store, key):
    """The file that holds a chunk, its place in it, and the array."""
    opened = OpenedStore.at(store)
    name, _, place = key.partition("/c/")
    array = opened.arrays[name]
    at = tuple(map(int, place.split("/")))
    return Path(store, array.key(array.file_of(at))), array.slot_of(at), array


def replace_chunk(store, key, chunk):
    """Put other bytes in the place of a chunk; None removes it."""
    file, slot, array = file_of(store, key)
    before = file.read_bytes() if file.exists() else None
    after = array.merged(before, {slot: chunk})
    if after is None:
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(after)


def exchange_chunks(store, first, second):
    """Exchange two chunks."""
    chunks = data_chunks(store)
    replace_chunk(store, first, chunks[second])
    replace_chunk(store, second, chunks[first])


def overwrite_chunk(store, key, change):
    """Change the bytes of a chunk where they are; ``change`` returns as many."""
    file, slot, array = file_of(store, key)
    before = file.read_bytes()
    where = array.index(before)[slot]
    file.write_bytes(before[: where.start] + change(before[where]) + before[where.stop :])


def dated_chunks(store):
    """All data chunks with the time at which their block was written, by their keys."""
    chunks = data_chunks(store)
    return {
        key: (chunks[key], record["written"])
        for record in read_records(store).values()
        for key in record["chunks"]
    }
