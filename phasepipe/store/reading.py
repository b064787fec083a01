"""Errors of damaged stores, and a Zarr store that reports damage of tables and archives by one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import WrapperStore

from phasepipe.errors import UserError, reason_of
from phasepipe.store.codec import is_whole

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype


class DamagedStoreError(UserError):
    """The content of a store is damaged; the message names the file and says what to do."""


def cure(path: Path) -> str:
    """Advice for repairing a damaged store or table of a sweep."""
    if path.suffix == ".zip":
        return f"remove {path.parent} and create it again with phasepipe reduce"
    sweep = path.parent.parent if path.parent.name in ("instances", "runs", "spectra") else path.parent
    return f"run phasepipe verify {sweep}, then the workflow again; if that does not help, remove {path.name}"


class GuardedStore(WrapperStore["Store"]):
    """A Zarr store whose files cannot be read damaged.

    Parameters
    ----------
    store
        The store.
    path
        Its path, for messages.
    arrays
        Metadata of the arrays whose chunks are checked.
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
        file = self._path / key
        if file.exists() and not (file.is_file() or file.is_dir()):  # a named pipe would block for ever
            raise DamagedStoreError(f"{file} is not a regular file; {cure(self._path)}")
        try:
            content = await self._store.get(key, prototype, byte_range)
        except Exception as error:  # a failing disk or a damaged ZIP file
            raise DamagedStoreError(
                f"{file} cannot be read ({reason_of(error)}); {cure(self._path)}"
            ) from error
        name, slash, _ = key.partition("/c")
        checked = slash and name in self._arrays and self._arrays[name]["codecs"][-1]["name"] == "crc32c"
        if checked and content is not None and byte_range is None and not is_whole(content.to_bytes()):
            raise DamagedStoreError(
                f"{self._path / key} is damaged: its checksum is wrong; {cure(self._path)}"
            )
        return content
