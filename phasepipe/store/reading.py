"""Reading chunks so that a hole is never a number.

To Zarr a chunk without a file is full of fill values: right for what is not computed yet, wrong for a file
that was lost. Here it is an error if ``status`` says that an entry of the chunk is done; so are a run that is
done and has no outcome, a chunk with a wrong checksum, a cut one, and one that cannot be read. Each is one
sentence, wherever the value is used: in a command, a stage, or a notebook.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs.blosc import decompress  # type: ignore[import-untyped]
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import WrapperStore

from phasepipe.errors import UserError
from phasepipe.store.layout import Status

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

_STATUS, _OUTCOME = "status", "outcome"
_PENDING = 0  # of the outcomes
_CHECKSUM = 4  # bytes at the end of a chunk


class DamagedStoreError(UserError):
    """What a store holds cannot be believed; the message names the file and what to do."""


def cure(path: Path) -> str:
    """What to do about a damaged store or table of a sweep."""
    if path.suffix == ".zip":
        return f"remove {path.parent} and make it again with phasepipe reduce"
    sweep = path.parent.parent if path.parent.name in ("instances", "runs", "spectra") else path.parent
    return (
        f"run phasepipe verify {sweep}, then the workflow again; if that does not mend it, remove {path.name}"
    )


class GuardedStore(WrapperStore["Store"]):
    """A Zarr store that is read as above.

    Parameters
    ----------
    store
        The store.
    path
        Where it lies, for messages.
    arrays
        Metadata of its arrays; those that are not named here are read as Zarr does.
    """

    def __init__(self, store: Store, path: Path, arrays: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(store)
        self._path = path
        self._arrays = arrays

    def _with_store(self, store: Store) -> GuardedStore:
        return type(self)(store, self._path, self._arrays)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The content of a file of the store, or None if it is not there."""
        name, slash, place = key.partition("/c")
        if not slash or name not in self._arrays or byte_range is not None:
            return await self._content(key, prototype, byte_range)
        index = [int(part) for part in place.split("/") if part]
        # before the content: what is done now has it, while what has none may be done a moment later
        done = await self._done(name, index) if name == _OUTCOME else None
        content = await self._content(key, prototype)
        if content is None:
            done = await self._done(name, index) if done is None else done
            if done is not None and done.any():
                entries = await self._named(name, index, done)
                raise DamagedStoreError(
                    f"{self._path / key} is lost, while {entries} count as done; {cure(self._path)}"
                )
            return None
        if not _ends_with_checksum(self._arrays[name]):
            return content
        packed = content.to_bytes()
        if not _is_whole(packed):
            raise DamagedStoreError(self._wrong_checksum(key))
        if done is not None and done.any():
            holes = done & (_decoded(packed, done.shape) == _PENDING)
            if holes.any():
                entries = await self._named(name, index, holes)
                raise DamagedStoreError(
                    f"{entries} in {self._path} count as done and have no outcome; {cure(self._path)}"
                )
        return content

    async def _content(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        try:
            return await self._store.get(key, prototype, byte_range)
        except Exception as error:  # a disk, or a ZIP file, that is damaged
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DamagedStoreError(
                f"{self._path / key} cannot be read ({reason}); {cure(self._path)}"
            ) from error

    def _wrong_checksum(self, key: str) -> str:
        return f"{self._path / key} is damaged: its checksum is wrong; {cure(self._path)}"

    async def _done(self, name: str, index: list[int]) -> NDArray[np.bool_] | None:
        """Which entries of a chunk are done, shape of the leading dimensions; None for a coordinate."""
        if _STATUS not in self._arrays or name == _STATUS:
            return None
        shape, sizes = _chunk_shape(self._arrays[_STATUS]), _chunk_shape(self._arrays[name])
        axes = len(shape)
        if len(index) < axes:
            return None
        first = [at * size for at, size in zip(index, sizes, strict=True)][:axes]
        block = [at // size for at, size in zip(first, shape, strict=True)]
        key = "/".join([_STATUS, "c", *map(str, block)])
        content = await self._content(key, default_buffer_prototype())
        if content is None:
            return np.zeros(sizes[:axes], bool)
        packed = content.to_bytes()
        if not _is_whole(packed):
            raise DamagedStoreError(self._wrong_checksum(key))
        within = tuple(
            slice(at - number * size, at - number * size + mine)
            for at, number, size, mine in zip(first, block, shape, sizes[:axes], strict=True)
        )
        done: NDArray[np.bool_] = _decoded(packed, tuple(shape))[within] == Status.DONE
        return done

    async def _named(self, name: str, index: list[int], chosen: NDArray[np.bool_]) -> str:
        """The chosen entries of a chunk for people: how many, and at which alpha and instances."""
        sizes = _chunk_shape(self._arrays[name])
        first, *_ = np.argwhere(chosen)
        rows = [at * size for at, size in zip(index, sizes, strict=True)][: chosen.ndim] + first
        alpha = await self._coordinate("alpha", int(rows[0]))
        instances = np.flatnonzero(chosen.any(axis=(0, *range(2, chosen.ndim)))) + index[1] * sizes[1]
        cell = "" if alpha is None else f" at alpha = {alpha:.4g},"
        return f"{int(chosen.sum())} entries{cell} instances {instances[0]} to {instances[-1]},"

    async def _coordinate(self, name: str, position: int) -> float | None:
        """One value of a coordinate that is stored as it is, with a checksum."""
        array = self._arrays.get(name)
        if array is None or array["data_type"] != "float64":
            return None
        (size,) = _chunk_shape(array)
        content = await self._store.get(f"{name}/c/{position // size}", default_buffer_prototype())
        if content is None:
            return None
        return float(np.frombuffer(content.to_bytes(), "<f8", size)[position % size])


def _chunk_shape(array: Mapping[str, Any]) -> list[int]:
    return [int(size) for size in array["chunk_grid"]["configuration"]["chunk_shape"]]


def _decoded(packed: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Values of a chunk of bytes, which is compressed by Blosc and ends with a checksum."""
    return np.frombuffer(decompress(packed[:-_CHECKSUM]), np.uint8, math.prod(shape)).reshape(shape)


def _ends_with_checksum(array: Mapping[str, Any]) -> bool:
    return bool(array["codecs"]) and array["codecs"][-1]["name"] == "crc32c"


def _is_whole(content: bytes) -> bool:
    stored = content[-_CHECKSUM:]
    return bool(google_crc32c.value(content[:-_CHECKSUM]).to_bytes(_CHECKSUM, "little") == stored)
