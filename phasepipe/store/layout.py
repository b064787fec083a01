"""Layout of a store: axes that can grow, arrays and their chunks, and blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phasepipe.variables import Variable


class Status(IntEnum):
    """State of a run or instance in a store; part of the store format."""

    PENDING = 0
    DONE = 1


@dataclass(frozen=True)
class Axis:
    """A dimension that is divided into blocks.

    ``keys`` are coordinate arrays of equal length that together identify each position; the first is never
    equal to its fill value, so that an interrupted extension can be recognised.
    """

    keys: Mapping[str, NDArray[Any]]
    chunk: int

    def __len__(self) -> int:
        return len(next(iter(self.keys.values())))

    def names(self) -> list[tuple[str, ...]]:
        """Hashable identifier of every position."""
        return [
            tuple(repr(value) for value in row)
            for row in zip(*map(np.ndarray.tolist, self.keys.values()), strict=True)
        ]


@dataclass(frozen=True)
class Layout:
    """Shape and content of a store.

    Attributes
    ----------
    stage
        ``instances``, ``runs`` or ``spectra``.
    axes
        Dimensions that are divided into blocks, in order; ``status`` has exactly these.
    sizes
        Other dimensions.
    selected
        Which entries are requested, over the leading ``axes``; default all.
    chunks
        Chunk lengths along those ``sizes`` that are split into several chunks.
    variables
        Arrays, by name; dimensions from ``axes`` and ``sizes``.
    coordinates
        Coordinates of ``sizes``: name to (dimensions, values, attributes). They may be extended at the end.
    attributes
        Attributes of key coordinates, and attributes of variables other than long name and units.
    t_max
        Time budget of the entries; None if they have none.
    unfinished
        Given the path of a store whose entries had a smaller ``t_max``, which of them have to be continued;
        shape of ``status``.
    """

    stage: str
    axes: Mapping[str, Axis]
    sizes: Mapping[str, int]
    variables: Mapping[str, Variable]
    coordinates: Mapping[str, tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]]
    attributes: Mapping[str, dict[str, Any]]
    chunks: Mapping[str, int] = field(default_factory=dict)
    selected: NDArray[np.bool_] | None = None
    t_max: float | None = None
    unfinished: Callable[[Path], NDArray[np.bool_]] | None = None


@dataclass(frozen=True)
class Block:
    """One Dask task and one Zarr chunk: positions on every axis, and the entries still to be computed.

    ``todo`` is a bool array over the block; ``keys`` are the axis coordinates of its positions.
    """

    label: str
    region: tuple[slice, ...]
    todo: NDArray[np.bool_]
    keys: dict[str, NDArray[Any]]

    @property
    def count(self) -> int:
        """Number of entries to compute."""
        return int(self.todo.sum())
