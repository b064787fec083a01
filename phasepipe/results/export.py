"""Export a sweep for publication as netCDF, CSV or one Zarr archive.

Every export is a folder that is ready to be uploaded to a data repository: data, ``README.md``,
``datapackage.json`` and ``.zenodo.json`` (:mod:`phasepipe.results.descriptor`).
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from phasepipe.errors import UserError, reason_of
from phasepipe.results.contents import STAGES, TABLES
from phasepipe.results.descriptor import Field, describe, table_field
from phasepipe.results.tree import open_sweep
from phasepipe.store.atomic import replacing
from phasepipe.store.folder import SweepFolder, obstacle, shown
from phasepipe.store.history import HISTORY

# dimensions of points, labels and states; in netCDF and Zarr only
LEFT_OUT_OF_CSV = ("component", "measurement", "state_element")

Columns = dict[str, list[Field]]


class Format(StrEnum):
    """Formats of an export."""

    NETCDF = "netcdf"
    CSV = "csv"
    ZARR_ZIP = "zarr-zip"


class ExportError(UserError):
    """The export cannot be written; the message says why."""


def export_sweep(
    folder: SweepFolder,
    to: Format,
    target: Path,
    licence: str = "CC-BY-4.0",
    creators: Sequence[str] = (),
) -> Path:
    """Write the sweep atomically into the new folder ``target``.

    Parameters
    ----------
    folder
        The sweep; the descriptor says which runs are not computed yet.
    to
        Format of the data.
    target
        Folder that must not exist.
    licence
        SPDX identifier of the licence of the data.
    creators
        Authors as "Family name, Given names"; if empty, a placeholder that must be replaced.

    Raises
    ------
    ExportError
        If ``target`` exists or cannot be written, or if the folder holds no sweep.
    """
    folder.refuse_reduced()  # or an error if the folder cannot be read
    if os.path.lexists(target):
        raise ExportError(f"{target} exists; choose another folder with --output, or remove it")
    if reason := obstacle(target):
        raise _not_written(target, reason)
    try:
        tree = open_sweep(folder.root)
    except FileNotFoundError as error:
        raise ExportError(str(error)) from error
    notes = (
        {"left_out": f"variables along {', '.join(LEFT_OUT_OF_CSV)}; netCDF and Zarr hold them"}
        if to is Format.CSV
        else {}
    )
    try:
        with replacing(target) as draft:
            draft.mkdir()
            columns = _WRITERS[to](tree, folder, draft)
            describe(tree, folder, draft, columns, licence, creators, notes)
    except OSError as error:
        raise _not_written(target, reason_of(error)) from error
    return target


def _not_written(target: Path, reason: str) -> ExportError:
    return ExportError(f"{shown(target)} cannot be written ({reason}); choose another folder with --output")


def _write_netcdf(tree: xr.DataTree, folder: SweepFolder, target: Path) -> Columns:
    nodes = {node.path: _flat(node.to_dataset()) for node in tree.leaves}
    file = target / f"{folder.root.resolve().name}.nc"
    encoding = {
        path: {name: {"zlib": True, "shuffle": True} for name, values in data.data_vars.items() if values.ndim
               and values.dtype.kind != "U"}
        for path, data in nodes.items()
    }  # fmt: skip
    xr.DataTree.from_dict(nodes).to_netcdf(file, engine="h5netcdf", encoding=encoding)
    return {}


def _flat(data: xr.Dataset) -> xr.Dataset:
    """Convert nested attributes to JSON: netCDF supports only numbers, text and lists of them."""
    flat = data.copy()
    flat.attrs = _simple(flat.attrs)
    for variable in flat.variables.values():
        variable.attrs = _simple(variable.attrs)
    for variable in flat.variables.values():
        variable.encoding = {}
        if variable.dtype.kind == "f":
            variable.encoding["_FillValue"] = None  # NaN is a valid value here
    return flat


def _simple(attributes: dict[Any, Any]) -> dict[Any, Any]:
    return {
        key: json.dumps(value) if key == HISTORY or isinstance(value, dict) else value
        for key, value in attributes.items()
    }


def _write_csv(tree: xr.DataTree, _folder: SweepFolder, target: Path) -> Columns:
    """Write one table for each set of dimensions of each node; numbers round-trip to the same bits."""
    columns: Columns = {}
    for node in tree.leaves:
        data = node.to_dataset()
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, values in data.data_vars.items():
            dims = tuple(map(str, values.dims))
            if not set(dims) & set(LEFT_OUT_OF_CSV):
                groups.setdefault(dims, []).append(str(name))
        for dims, names in groups.items():
            part = data[names].compute()
            part = part.assign_coords({dim: np.arange(part.sizes[dim]) for dim in dims if dim not in part})
            part = part.reset_coords(part.coords.keys() - set(dims))
            frame = part.to_dataframe().reset_index() if dims else part.expand_dims("row").to_dataframe()
            file = f"{'-'.join([*node.path.strip('/').split('/'), *dims])}.csv"
            frame.to_csv(target / file, index=False)
            columns[file] = [table_field(name, frame[name].dtype, part[name].attrs) for name in frame]
    return columns


def _write_zarr_zip(_tree: xr.DataTree, folder: SweepFolder, target: Path) -> Columns:
    """Write the stored files unchanged: a zipped Zarr store is an uncompressed ZIP file of its files."""
    stores = {f"{stage}/N{N}": path for stage in STAGES for N, path in folder.stores(stage).items()} | {
        name: folder.table(name) for name in TABLES if folder.table(name).exists()
    }
    file = target / f"{folder.root.resolve().name}.zarr.zip"
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        root = zarr.create_group(scratch)
        for stage in sorted({name.partition("/")[0] for name in stores if "/" in name}):
            root.create_group(stage)
        _add(archive, Path(scratch), "")
        for name, store in stores.items():
            _add(archive, store, f"{name}/")
    return {}


def _add(archive: zipfile.ZipFile, store: Path, prefix: str) -> None:
    inside = store.resolve()
    for file in sorted(store.rglob("*")):
        if file.is_file():
            if not file.resolve().is_relative_to(inside):
                raise ExportError(f"{file} is a link to a file outside its store; replace it by that file")
            archive.write(file, f"{prefix}{file.relative_to(store).as_posix()}")


_WRITERS: dict[Format, Callable[[xr.DataTree, SweepFolder, Path], Columns]] = {
    Format.NETCDF: _write_netcdf,
    Format.CSV: _write_csv,
    Format.ZARR_ZIP: _write_zarr_zip,
}
