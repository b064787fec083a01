"""Read chunks such that missing data raise an error instead of being read as fill values.

Zarr reads a chunk without a file as fill values. This is right for entries that are not computed yet, but
wrong for a file that was lost. Here a missing file is an error if ``status`` marks an entry of the chunk as
done. Other errors are a finished run without an outcome, a chunk with a wrong checksum, a truncated chunk,
and a chunk that cannot be read. Each error is one sentence, in commands, stages and notebooks alike.

The store may be written meanwhile, and values may be read in any order, by several threads. A file of status
is therefore read once, before any of the data that it describes, and then kept: whatever it marks as done was
written before the data are read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import WrapperStore

from phasepipe.errors import UserError
from phasepipe.store.arrays import StoredArray
from phasepipe.store.codec import is_whole
from phasepipe.store.layout import Status
from phasepipe.store.shards import Place

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

_STATUS, _OUTCOME = "status", "outcome"
_PENDING = 0  # value of the pending outcome
_KEPT_BYTES = 64 * 2**20  # of files that are kept, because Zarr asks for their chunks one by one


class DamagedStoreError(UserError):
    """The content of a store is damaged; the message names the file and says what to do."""


def cure(path: Path) -> str:
    """Advice for repairing a damaged store or table of a sweep."""
    if path.suffix == ".zip":
        return f"remove {path.parent} and create it again with phasepipe reduce"
    sweep = path.parent.parent if path.parent.name in ("instances", "runs", "spectra") else path.parent
    return f"run phasepipe verify {sweep}, then the workflow again; if that does not help, remove {path.name}"


class GuardedStore(WrapperStore["Store"]):
    """A Zarr store with the checks described in this module.

    Parameters
    ----------
    store
        The store.
    path
        Its path, for messages.
    arrays
        Metadata of the arrays to check; other arrays are read without checks.
    """

    def __init__(self, store: Store, path: Path, arrays: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(store)
        self._path = path
        self._metadata = arrays
        self._arrays = {name: StoredArray.of(name, metadata) for name, metadata in arrays.items()}
        self._files: dict[str, tuple[tuple[int, ...], bytes]] = {}
        self._seen: dict[str, bytes | None] = {}  # files of status as they were when they were needed first

    def _with_store(self, store: Store) -> GuardedStore:
        other = type(self)(store, self._path, self._metadata)
        other._seen = self._seen
        return other

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": {}}

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The content of a file of the store, or None if it is not there."""
        name, slash, place = key.partition("/c")
        array = self._arrays.get(name)
        if not slash or array is None:
            return await self._content(key, prototype, byte_range)
        file = tuple(int(part) for part in place.split("/") if part)
        if name == _STATUS:
            content = await self._status(key)
        else:
            if (holder := self._status_of(array, file)) is not None:
                await self._status(self._arrays[_STATUS].key(holder))
            content = await self._file(key)
        done = await self._done(array, file) if name == _OUTCOME else None
        if content is None:
            await self._refuse_missing(array, file, {}, done)
            return None
        wanted = _slice(byte_range, len(content))
        if array.checked:
            index = self._index(array, key, content)
            if wanted.start == 0:  # the index, or everything
                await self._refuse_missing(array, file, index, done)
            for slot, where in index.items():
                if wanted.start <= where.start and where.stop <= wanted.stop:
                    await self._check(array, file, slot, content[where], done)
        return prototype.buffer.from_bytes(content[wanted])

    async def _status(self, key: str) -> bytes | None:
        """A file of status, as it was when it was needed first."""
        if key not in self._seen:
            self._seen.setdefault(key, await self._file(key))  # another thread may have been faster
        return self._seen[key]

    def _status_of(self, array: StoredArray, file: Place) -> Place | None:
        """The file of status that describes a file of data; None for a coordinate."""
        status = self._arrays.get(_STATUS)
        if status is None or array.ndim < status.ndim:
            return None
        spans = zip(file, array.files, status.files, strict=False)
        return tuple(at * size // whole for at, size, whole in spans)

    async def _file(self, key: str) -> bytes | None:
        """The newest content of a file, which is read only if it has changed."""
        stamp: tuple[int, ...] = ()
        with suppress(OSError):
            found = os.stat(self._path / key)
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp and key in self._files and self._files[key][0] == stamp:
            return self._files[key][1]
        content = await self._content(key, default_buffer_prototype())
        if content is None:
            return None
        packed = content.to_bytes()
        self._files.pop(key, None)
        while self._files and sum(len(kept) for _, kept in self._files.values()) + len(packed) > _KEPT_BYTES:
            self._files.pop(next(iter(self._files)), None)
        self._files[key] = (stamp, packed)
        return packed

    async def _content(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        try:
            return await self._store.get(key, prototype, byte_range)
        except Exception as error:  # a failing disk or a damaged ZIP file
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DamagedStoreError(
                f"{self._path / key} cannot be read ({reason}); {cure(self._path)}"
            ) from error

    def _index(self, array: StoredArray, key: str, content: bytes) -> dict[Place, slice]:
        try:
            return array.index(content)
        except ValueError:
            raise DamagedStoreError(self._wrong_checksum(key)) from None

    def _wrong_checksum(self, key: str) -> str:
        return f"{self._path / key} is damaged: its checksum is wrong; {cure(self._path)}"

    async def _refuse_missing(
        self,
        array: StoredArray,
        file: Place,
        index: Mapping[Place, slice],
        done: NDArray[np.bool_] | None,
    ) -> None:
        """Raise an error if a chunk that is not in the index of a file holds finished entries."""
        if len(index) == np.prod(array.per_file):
            return
        done = await self._done(array, file) if done is None else done
        if done is None or not done.any():
            return
        for slot in np.ndindex(*array.per_file):
            region, place = _within(array, slot, done.ndim), array.place_at(file, slot)
            if slot not in index and array.contains(place) and done[region].any():
                await self._refuse_changed(array, file)
                entries = await self._describe(array, place, done[region])
                raise DamagedStoreError(
                    f"{self._path / array.key(place)} is missing, but {entries} are marked as done; "
                    f"{cure(self._path)}"
                )

    async def _refuse_changed(self, array: StoredArray, file: Place) -> None:
        """Raise an error if the status of the runs in a file is no longer what it was."""
        holder = self._status_of(array, file)
        key = self._arrays[_STATUS].key(holder or ())
        if await self._file(key) != self._seen[key]:
            raise DamagedStoreError(
                f"{self._path} has changed since it was opened: blocks were marked as pending, to be "
                "computed again; open it again"
            )

    async def _check(
        self, array: StoredArray, file: Place, slot: Place, chunk: bytes, done: NDArray[np.bool_] | None
    ) -> None:
        """Raise an error if a chunk is damaged, or if a finished run in it has no outcome."""
        if not is_whole(chunk):
            raise DamagedStoreError(self._wrong_checksum(array.key(array.place_at(file, slot))))
        if done is None:
            return
        missing = done[_within(array, slot, done.ndim)] & (array.decoded(chunk) == _PENDING)
        if missing.any():
            entries = await self._describe(array, array.place_at(file, slot), missing)
            raise DamagedStoreError(
                f"{entries} in {self._path} are marked as done but have no outcome; {cure(self._path)}"
            )

    async def _done(self, array: StoredArray, file: Place) -> NDArray[np.bool_] | None:
        """Which entries of a file are done, shape of its leading dimensions; None for a coordinate."""
        holder = self._status_of(array, file)
        if holder is None or array.name == _STATUS:
            return None
        status = self._arrays[_STATUS]
        first = [at * size for at, size in zip(file, array.files, strict=True)][: status.ndim]
        key = status.key(holder)
        whole = np.zeros(status.files, bool)
        content = await self._status(key)
        if content is not None:
            for slot, where in self._index(status, key, content).items():
                if not is_whole(content[where]):
                    raise DamagedStoreError(self._wrong_checksum(status.key(status.place_at(holder, slot))))
                whole[_within(status, slot, status.ndim)] = status.decoded(content[where]) == Status.DONE
        within = tuple(
            slice(at - number * size, at - number * size + mine)
            for at, number, size, mine in zip(first, holder, status.files, array.files, strict=False)
        )
        return whole[within]

    async def _describe(self, array: StoredArray, place: Place, chosen: NDArray[np.bool_]) -> str:
        """Description of the chosen entries of a chunk: their number, alpha and instances."""
        first, *_ = np.argwhere(chosen)
        rows = [at * size for at, size in zip(place, array.chunks, strict=True)][: chosen.ndim] + first
        alpha = await self._coordinate("alpha", int(rows[0]))
        instances = np.flatnonzero(chosen.any(axis=(0, *range(2, chosen.ndim)))) + place[1] * array.chunks[1]
        cell = "" if alpha is None else f" at alpha = {alpha:.4g},"
        return f"{int(chosen.sum())} entries{cell} instances {instances[0]} to {instances[-1]},"

    async def _coordinate(self, name: str, position: int) -> float | None:
        """One value of a coordinate that is stored uncompressed, with a checksum."""
        array = self._arrays.get(name)
        if array is None or array.dtype != np.float64:
            return None
        (size,) = array.chunks
        content = await self._store.get(array.key((position // size,)), default_buffer_prototype())
        if content is None:
            return None
        return float(np.frombuffer(content.to_bytes(), "<f8", size)[position % size])


def _within(array: StoredArray, slot: Place, axes: int) -> tuple[slice, ...]:
    """The entries of a chunk along the leading dimensions, counted from the beginning of its file."""
    spans = zip(slot[:axes], array.chunks[:axes], strict=True)
    return tuple(slice(at * size, (at + 1) * size) for at, size in spans)


def _slice(wanted: ByteRequest | None, size: int) -> slice:
    """The part of a file that Zarr asks for."""
    match wanted:
        case RangeByteRequest(start, end):
            return slice(start, end)
        case OffsetByteRequest(offset):
            return slice(offset, size)
        case SuffixByteRequest(suffix):
            return slice(max(0, size - suffix), size)
        case _:
            return slice(0, size)
