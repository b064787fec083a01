"""Create a block store: arrays, coordinates, attributes and codecs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from phasepipe.specification.sweep import Sweep
from phasepipe.store.atomic import drafts_of, remove, replacing
from phasepipe.store.codec import BLOCK_CODECS, CHECKSUM, fill_value
from phasepipe.store.layout import Layout
from phasepipe.store.provenance import code_hashes, provenance
from phasepipe.store.publishing import publish
from phasepipe.store.records import RECORDED, forget_records
from phasepipe.store.shards import Place
from phasepipe.variables import Variable

# A file holds several blocks, so that a sweep of a million runs has thousands of files; it is rewritten when
# blocks are added to it, so that it must not be too large
_BLOCKS_PER_FILE = 64
_BYTES_PER_FILE = 8 * 2**20  # of its largest array, uncompressed
_KEYS_PER_FILE = 1024  # of an axis


def create(path: Path, sweep: Sweep, layout: Layout) -> None:
    """Create the store atomically: build it under a temporary name, then rename it.

    Raises
    ------
    UntrustedLossError
        If the code of a custom loss may not be run, so that its hash is unknown.
    """
    sweep.loss.build()
    for left_over in drafts_of(path):  # by a killed process; the caller holds the lock
        remove(left_over)
    forget_records(path)  # those of a removed store of the same name
    with replacing(path) as draft:
        _fill(zarr.create_group(str(draft)), sweep, layout)
        publish(draft)


def _fill(group: zarr.Group, sweep: Sweep, layout: Layout) -> None:
    """Create the arrays, coordinates and attributes of a new store."""
    sizes = {dimension: len(axis) for dimension, axis in layout.axes.items()} | dict(layout.sizes)
    variables = {**layout.variables, "status": _status_variable(layout)}
    chunks = {name: _chunk(layout, sizes, variable) for name, variable in variables.items()}
    largest = max(
        math.prod(chunk) * np.dtype(variables[name].dtype).itemsize for name, chunk in chunks.items()
    )
    alphas = len(next(iter(layout.axes.values())))
    blocks = _blocks_per_file(largest, alphas)
    for name, variable in variables.items():
        dtype = np.dtype(variable.dtype)
        group.create_array(
            name,
            shape=tuple(sizes[dimension] for dimension in variable.dims),
            chunks=chunks[name],
            shards=cast("Any", {"shape": _file(layout, chunks[name], blocks), "index_location": "start"}),
            dtype=dtype,
            fill_value=fill_value(dtype),
            dimension_names=variable.dims,
            compressors=BLOCK_CODECS,
            attributes=cast("dict[str, Any]", variable.attributes() | layout.attributes.get(name, {})),
        )
    others = []
    for dimension, axis in layout.axes.items():
        for key, values in axis.keys.items():
            attributes = layout.attributes.get(key, {})
            _create_coordinate(group, key, (dimension,), values, attributes, _KEYS_PER_FILE)
            others += [key] * (key != dimension)
    for name, (dims, values, attributes) in layout.coordinates.items():
        _create_coordinate(group, name, dims, values, attributes)
        others += [name] * (dims != (name,))
    # xarray reads the names of non-dimension coordinates from this attribute
    group.attrs.update(
        provenance(sweep)
        | {"code": code_hashes(sweep, layout.stage), "coordinates": " ".join(others), RECORDED: 1}
    )


def _chunk(layout: Layout, sizes: Mapping[str, int], variable: Variable) -> Place:
    """Entries of a chunk along every dimension of an array."""
    chunks = {dimension: axis.chunk for dimension, axis in layout.axes.items()} | dict(layout.chunks)
    return tuple(max(1, chunks.get(dimension, sizes[dimension])) for dimension in variable.dims)


def _blocks_per_file(largest: int, alphas: int) -> tuple[int, int]:
    """Blocks of a file along the first two axes, powers of two.

    ``largest`` is the number of bytes of a block in its largest array. A file spans no more alphas than the
    store has when it is created.
    """
    blocks = 1 << (max(1, min(_BLOCKS_PER_FILE, _BYTES_PER_FILE // largest)).bit_length() - 1)
    along = min(1 << blocks.bit_length() // 2, 1 << (alphas - 1).bit_length(), blocks)
    return along, blocks // along


def _file(layout: Layout, chunk: Place, blocks: tuple[int, int]) -> Place:
    """Entries of a file along every dimension: whole blocks, the same ones in every array."""
    spans = list(chunk)
    for at, (axis, count) in enumerate(zip(layout.axes.values(), blocks, strict=False)):
        spans[at] = axis.chunk * count  # also of the snapshots, which have a chunk for every instance
    return tuple(spans)


def _status_variable(layout: Layout) -> Variable:
    return Variable(tuple(layout.axes), "uint8", "whether the entry has been computed")


def _create_coordinate(
    group: zarr.Group,
    name: str,
    dims: tuple[str, ...],
    values: NDArray[Any],
    attributes: Mapping[str, Any],
    least: int = 1,
) -> None:
    """Create a coordinate; ``least`` entries along every dimension share a file, so that it can grow."""
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(least, size) for size in values.shape),
        dtype=values.dtype,
        fill_value=fill_value(values.dtype, key=True),
        dimension_names=dims,
        compressors=[CHECKSUM],
        attributes=dict(attributes),
    )
    array[...] = values
