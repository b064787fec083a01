"""Reads block stores into xarray such that missing data raise an error instead of being read as fill values.

A chunk that is not there means that it is not computed yet, or that it was lost. Here it is an error if
``status`` marks an entry of the chunk as done. Other errors are a finished run without an outcome, a chunk
with a wrong checksum, a truncated chunk, and a file that cannot be read. Each error is one sentence, in
commands, stages and notebooks alike. Files are read directly: Zarr takes half a millisecond for every small
chunk.

The store may be written meanwhile, and values may be read in any order, by several threads. A file of status
is therefore read once, before any of the data that it describes, and then kept: whatever it marks as done was
written before the data are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from phasepipe.files import open_regular, read_regular
from phasepipe.physics.outcomes import Outcome
from phasepipe.store.arrays import StoredArray
from phasepipe.store.codec import fill_value
from phasepipe.store.layout import Status
from phasepipe.store.reading import DamagedStoreError, cure
from phasepipe.store.shards import Place

_STATUS, _OUTCOME = "status", "outcome"

Region = tuple[slice, ...]


@dataclass(frozen=True)
class GuardedFiles:
    """The files of a block store, with the checks described in this module."""

    path: Path
    arrays: Mapping[str, StoredArray]
    seen: dict[Place, bytes | None] = field(default_factory=dict, compare=False)

    def read(self, name: str, region: Region) -> NDArray[Any]:
        """Values of an array in a region of slices with step 1.

        Raises
        ------
        DamagedStoreError
            If what is marked as done is not there or is damaged.
        """
        array = self.arrays[name]
        shape = [span.stop - span.start for span in region]
        values = np.full(shape, fill_value(array.dtype), array.dtype)
        for place, chunk in self._chunks(array, region):
            if chunk is None:
                self._refuse_missing(array, place)
                continue
            overlaps = [_overlap(*spans) for spans in zip(array.region(place), region, strict=True)]
            values[tuple(outer for _, outer in overlaps)] = chunk[tuple(inner for inner, _ in overlaps)]
        if name == _OUTCOME:
            missing = self._done(region) & (values == Outcome.PENDING)
            if missing.any():
                entries = self._entries(missing, [span.start for span in region])
                raise DamagedStoreError(
                    f"{entries} in {self.path} are marked as done but have no outcome; {cure(self.path)}"
                )
        return values

    def _chunks(self, array: StoredArray, region: Region) -> Iterator[tuple[Place, NDArray[Any] | None]]:
        """The chunks that a region touches, None for those that are not there."""
        spans = [
            range(span.start // size, -(-span.stop // size)) if span.stop > span.start else range(0)
            for span, size in zip(region, array.chunks, strict=True)
        ]
        files: dict[Place, list[Place]] = {}
        for place in product(*spans):
            files.setdefault(array.file_of(place), []).append(place)
        for file, places in files.items():
            yield from self._chunks_of_file(array, file, places)

    def _chunks_of_file(
        self, array: StoredArray, file: Place, places: list[Place]
    ) -> Iterator[tuple[Place, NDArray[Any] | None]]:
        path = self.path / array.key(file)
        try:
            with self._open(array, file) as opened:
                if array.sharded:
                    index = array.index(opened.read(array.index_bytes))
                else:
                    index = {(0,) * array.ndim: slice(0, None)}
                for place in places:
                    where = index.get(array.slot_of(place))
                    if where is None:
                        yield place, None
                        continue
                    opened.seek(where.start)
                    content = opened.read(-1 if where.stop is None else where.stop - where.start)
                    yield place, array.decoded(content)
        except FileNotFoundError:
            yield from ((place, None) for place in places)
        except OSError as error:
            raise DamagedStoreError(
                f"{path} cannot be read ({error.strerror or error}); {cure(self.path)}"
            ) from error
        except (ValueError, RuntimeError):
            raise DamagedStoreError(f"{path} is damaged: its checksum is wrong; {cure(self.path)}") from None

    def _done(self, region: Region) -> NDArray[np.bool_]:
        """Which entries are done in a region of the leading dimensions."""
        status = self.arrays[_STATUS]
        done: NDArray[np.bool_] = self.read(_STATUS, region[: status.ndim]) == Status.DONE
        return done

    def _open(self, array: StoredArray, file: Place) -> BinaryIO:
        """A file of an array; what describes it in status has been read before."""
        status = self.arrays[_STATUS]
        if array.ndim >= status.ndim:
            spans = zip(file, array.files, status.files, strict=False)
            holder = tuple(at * size // whole for at, size, whole in spans)
            if holder not in self.seen:
                self.seen.setdefault(holder, self._status_now(holder))  # another thread may have been faster
            if array is status:
                content = self.seen[holder]
                if content is None:
                    raise FileNotFoundError
                return BytesIO(content)
        return open_regular(self.path / array.key(file))

    def _status_now(self, file: Place) -> bytes | None:
        try:
            return read_regular(self.path / self.arrays[_STATUS].key(file))
        except FileNotFoundError:
            return None

    def _refuse_missing(self, array: StoredArray, place: Place) -> None:
        """Raise an error if an entry of a chunk that is not there is done."""
        status = self.arrays[_STATUS]
        if array is status or array.ndim < status.ndim:
            return
        region = tuple(
            slice(span.start, min(span.stop, size))
            for span, size in zip(array.region(place), array.shape, strict=True)
        )
        done = self._done(region)
        if not done.any():
            return
        if any(content != self._status_now(file) for file, content in self.seen.items()):
            raise DamagedStoreError(
                f"{self.path} has changed since it was opened: blocks were marked as pending, to be "
                "computed again; open it again"
            )
        entries = self._entries(done, [span.start for span in region])
        raise DamagedStoreError(
            f"{self.path / array.key(place)} is missing, but {entries} are marked as done; {cure(self.path)}"
        )

    def _entries(self, chosen: NDArray[np.bool_], first: list[int]) -> str:
        """Description of the chosen entries, whose positions count from ``first``."""
        row = int(np.argwhere(chosen)[0][0]) + first[0]
        same = chosen[row - first[0]]  # those of one alpha
        columns = np.flatnonzero(same.reshape(len(same), -1).any(axis=1)) + first[1]
        cell = ""
        if "alpha" in self.arrays:
            alpha = float(self.read("alpha", (slice(row, row + 1),))[0])
            cell = f" at alpha = {alpha:.4g},"
        return f"{int(same.sum())} entries{cell} instances {columns[0]} to {columns[-1]},"


class GuardedArray(BackendArray):
    """An array of a block store that is read when its values are used."""

    def __init__(self, files: GuardedFiles, name: str) -> None:
        self._files, self._name = files, name
        self.shape = files.arrays[name].shape
        self.dtype = files.arrays[name].dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        values: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
        return values

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        region, within = [], []
        for wanted, size in zip(key, self.shape, strict=True):
            if isinstance(wanted, slice):
                chosen = range(size)[wanted]
                low, high = (min(chosen), max(chosen) + 1) if chosen else (0, 0)
                stop = chosen.stop - low if chosen and chosen.stop >= low else None
                step: int | slice = slice(chosen[0] - low, stop, chosen.step) if chosen else slice(0)
            else:
                low = range(size)[wanted]
                high, step = low + 1, 0
            region.append(slice(low, high))
            within.append(step)
        return np.asarray(self._files.read(self._name, tuple(region))[tuple(within)])


class BlockStoreBackend(BackendEntrypoint):
    """Opens a block store with the checks of this module."""

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: Any = None,
        attributes: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> xr.Dataset:
        """The store as a lazy dataset, from its root attributes and the metadata of its arrays."""
        assert drop_variables is None
        described = dict(metadata or {})
        arrays = {name: StoredArray.of(name, content) for name, content in described.items()}
        files = GuardedFiles(Path(filename_or_obj), arrays)
        variables = {
            name: xr.Variable(
                array.dims,
                indexing.LazilyIndexedArray(GuardedArray(files, name)),
                described[name].get("attributes", {}),
                {"preferred_chunks": dict(zip(array.dims, array.chunks, strict=True))},
            )
            for name, array in arrays.items()
        }
        kept = dict(attributes or {})
        coordinates = str(kept.pop("coordinates", "")).split()
        return xr.Dataset(variables, attrs=kept).set_coords(coordinates)


def _overlap(chunk: slice, region: slice) -> tuple[slice, slice]:
    """The common entries of a chunk and a region, counted from the beginning of each."""
    low, high = max(chunk.start, region.start), min(chunk.stop, region.stop)
    return slice(low - chunk.start, high - chunk.start), slice(low - region.start, high - region.start)
