"""Create a block store: arrays, coordinates, attributes and codecs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from phasepipe.specification.sweep import Sweep
from phasepipe.store.atomic import drafts_of, remove, replacing
from phasepipe.store.layout import Layout
from phasepipe.store.provenance import code_hashes, provenance
from phasepipe.store.publishing import publish
from phasepipe.store.records import RECORDED, forget_records
from phasepipe.variables import Variable

CHECKSUM = Crc32cCodec()  # last codec of every array, so that a flipped bit raises an error when it is read
CODECS = (BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), CHECKSUM)


def fill_value(dtype: np.dtype[Any], key: bool = False) -> Any:
    """Value of entries that were never written; a ``key`` of an axis never equals it."""
    if dtype.kind == "f":
        return np.nan
    if key:
        return np.iinfo(dtype).max
    return 0


def create(path: Path, sweep: Sweep, layout: Layout) -> None:
    """Create the store atomically: build it under a temporary name, then rename it."""
    for left_over in drafts_of(path):  # by a killed process; the caller holds the lock
        remove(left_over)
    forget_records(path)  # those of a removed store of the same name
    with replacing(path) as draft:
        _fill(zarr.create_group(str(draft)), sweep, layout)
        publish(draft)


def _fill(group: zarr.Group, sweep: Sweep, layout: Layout) -> None:
    """Create the arrays, coordinates and attributes of a new store."""
    sizes = {dimension: len(axis) for dimension, axis in layout.axes.items()} | dict(layout.sizes)
    chunks = {dimension: axis.chunk for dimension, axis in layout.axes.items()} | dict(layout.chunks)
    for name, variable in (*layout.variables.items(), ("status", _status_variable(layout))):
        dtype = np.dtype(variable.dtype)
        group.create_array(
            name,
            shape=tuple(sizes[dimension] for dimension in variable.dims),
            chunks=tuple(max(1, chunks.get(dimension, sizes[dimension])) for dimension in variable.dims),
            dtype=dtype,
            fill_value=fill_value(dtype),
            dimension_names=variable.dims,
            compressors=CODECS,
            attributes=cast("dict[str, Any]", variable.attributes() | layout.attributes.get(name, {})),
        )
    others = []
    for dimension, axis in layout.axes.items():
        for key, values in axis.keys.items():
            _create_coordinate(group, key, (dimension,), values, layout.attributes.get(key, {}))
            others += [key] * (key != dimension)
    for name, (dims, values, attributes) in layout.coordinates.items():
        _create_coordinate(group, name, dims, values, attributes)
        others += [name] * (dims != (name,))
    # xarray reads the names of non-dimension coordinates from this attribute
    group.attrs.update(
        provenance(sweep)
        | {"code": code_hashes(sweep, layout.stage), "coordinates": " ".join(others), RECORDED: 1}
    )


def _status_variable(layout: Layout) -> Variable:
    return Variable(tuple(layout.axes), "uint8", "whether the entry has been computed")


def _create_coordinate(
    group: zarr.Group,
    name: str,
    dims: tuple[str, ...],
    values: NDArray[Any],
    attributes: Mapping[str, Any],
) -> None:
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(1, size) for size in values.shape),
        dtype=values.dtype,
        fill_value=fill_value(values.dtype, key=True),
        dimension_names=dims,
        compressors=[CHECKSUM],
        attributes=dict(attributes),
    )
    array[...] = values
