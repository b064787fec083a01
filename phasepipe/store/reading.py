"""Read chunks such that missing data raise an error instead of being read as fill values.

Zarr reads a chunk without a file as fill values. This is right for entries that are not computed yet, but
wrong for a file that was lost. Here a missing file is an error if ``status`` marks an entry of the chunk as
done. Other errors are a finished run without an outcome, a chunk with a wrong checksum, a truncated chunk,
and a chunk that cannot be read. Each error is one sentence, in commands, stages and notebooks alike.
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
_PENDING = 0  # value of the pending outcome
_CHECKSUM = 4  # bytes at the end of a chunk


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
        # read status before the outcomes: an outcome may be missing now and be written a moment later
        done = await self._done(name, index) if name == _OUTCOME else None
        content = await self._content(key, prototype)
        if content is None:
            done = await self._done(name, index) if done is None else done
            if done is not None and done.any():
                entries = await self._describe(name, index, done)
                raise DamagedStoreError(
                    f"{self._path / key} is missing, but {entries} are marked as done; {cure(self._path)}"
                )
            return None
        if not _ends_with_checksum(self._arrays[name]):
            return content
        packed = content.to_bytes()
        if not _is_whole(packed):
            raise DamagedStoreError(self._wrong_checksum(key))
        if done is not None and done.any():
            missing = done & (_decoded(packed, done.shape) == _PENDING)
            if missing.any():
                entries = await self._describe(name, index, missing)
                raise DamagedStoreError(
                    f"{entries} in {self._path} are marked as done but have no outcome; {cure(self._path)}"
                )
        return content

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

    async def _describe(self, name: str, index: list[int], chosen: NDArray[np.bool_]) -> str:
        """Description of the chosen entries of a chunk: their number, alpha and instances."""
        sizes = _chunk_shape(self._arrays[name])
        first, *_ = np.argwhere(chosen)
        rows = [at * size for at, size in zip(index, sizes, strict=True)][: chosen.ndim] + first
        alpha = await self._coordinate("alpha", int(rows[0]))
        instances = np.flatnonzero(chosen.any(axis=(0, *range(2, chosen.ndim)))) + index[1] * sizes[1]
        cell = "" if alpha is None else f" at alpha = {alpha:.4g},"
        return f"{int(chosen.sum())} entries{cell} instances {instances[0]} to {instances[-1]},"

    async def _coordinate(self, name: str, position: int) -> float | None:
        """One value of a coordinate that is stored uncompressed, with a checksum."""
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
    """Values of a Blosc-compressed chunk of bytes that ends with a checksum."""
    return np.frombuffer(decompress(packed[:-_CHECKSUM]), np.uint8, math.prod(shape)).reshape(shape)


def _ends_with_checksum(array: Mapping[str, Any]) -> bool:
    return bool(array["codecs"]) and array["codecs"][-1]["name"] == "crc32c"


def _is_whole(content: bytes) -> bool:
    stored = content[-_CHECKSUM:]
    return bool(google_crc32c.value(content[:-_CHECKSUM]).to_bytes(_CHECKSUM, "little") == stored)
