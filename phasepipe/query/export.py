"""Writes a sweep for others: netCDF, CSV or one Zarr archive, with a Frictionless Data Package descriptor.

Every export is a folder that can be uploaded as it is: data, ``README.md`` and ``datapackage.json``
(https://datapackage.org, version 2), with the sha256 of every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from phasepipe.pipeline.errors import UserError
from phasepipe.pipeline.folders import SweepFolder
from phasepipe.query.tree import STAGES, TABLES, open_sweep
from phasepipe.stages.census import take_census

_MEDIA = {".nc": "application/x-netcdf", ".csv": "text/csv", ".zip": "application/zip"}
_LEFT_OUT_OF_CSV = ("component", "measurement")  # dimensions of points and labels; netCDF and Zarr hold them


class Format(StrEnum):
    """What a sweep can be exported to."""

    NETCDF = "netcdf"
    CSV = "csv"
    ZARR_ZIP = "zarr-zip"


class ExportError(UserError):
    """The export cannot be written; the message says why."""


def export_sweep(folder: SweepFolder, to: Format, target: Path, licence: str = "CC-BY-4.0") -> Path:
    """Write the sweep into the new folder ``target``, whole or not at all.

    Parameters
    ----------
    folder
        The sweep; what is not computed yet is said in the descriptor.
    to
        Format of the data.
    target
        Folder that must not exist.
    licence
        SPDX name of the licence of the data.

    Raises
    ------
    ExportError
        If ``target`` exists or the folder holds no sweep.
    """
    if target.exists():
        raise ExportError(f"{target} exists; name another folder with --output, or remove it")
    try:
        tree = open_sweep(folder.root)
    except FileNotFoundError as error:
        raise ExportError(str(error)) from error
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    try:
        _WRITERS[to](tree, folder, draft)
        _describe(tree, folder, to, draft, licence)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _write_netcdf(tree: xr.DataTree, folder: SweepFolder, target: Path) -> None:
    nodes = {node.path: _flat(node.to_dataset()) for node in tree.leaves}
    file = target / f"{folder.root.resolve().name}.nc"
    encoding = {
        path: {name: {"zlib": True, "shuffle": True} for name, values in data.data_vars.items() if values.ndim
               and values.dtype.kind != "U"}
        for path, data in nodes.items()
    }  # fmt: skip
    xr.DataTree.from_dict(nodes).to_netcdf(file, engine="h5netcdf", encoding=encoding)


def _flat(data: xr.Dataset) -> xr.Dataset:
    """Nested attributes as JSON: netCDF knows numbers, text and lists of them."""
    flat = data.copy()
    flat.attrs = _simple(flat.attrs)
    for variable in flat.variables.values():
        variable.attrs = _simple(variable.attrs)
    for variable in flat.variables.values():
        variable.encoding = {}
        if variable.dtype.kind == "f":
            variable.encoding["_FillValue"] = None  # NaN is a value here, and stays one
    return flat


def _simple(attributes: dict[Any, Any]) -> dict[Any, Any]:
    return {key: json.dumps(value) if isinstance(value, dict) else value for key, value in attributes.items()}


def _write_csv(tree: xr.DataTree, _folder: SweepFolder, target: Path) -> None:
    for node in tree.leaves:
        data = node.to_dataset()
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, values in data.data_vars.items():
            dims = tuple(map(str, values.dims))
            if not set(dims) & set(_LEFT_OUT_OF_CSV):
                groups.setdefault(dims, []).append(str(name))
        for dims, names in groups.items():
            part = data[names].load()
            part = part.assign_coords({dim: np.arange(part.sizes[dim]) for dim in dims if dim not in part})
            part = part.reset_coords()
            frame = part.to_dataframe() if dims else part.expand_dims("row").to_dataframe()
            stem = "-".join([*node.path.strip("/").split("/"), *dims])
            frame.to_csv(target / f"{stem}.csv", index=bool(dims))  # shortest digits that give the same bits


def _write_zarr_zip(_tree: xr.DataTree, folder: SweepFolder, target: Path) -> None:
    file = target / f"{folder.root.resolve().name}.zarr.zip"
    root_group = zarr.create_group(store=zarr.storage.MemoryStore()).metadata.to_buffer_dict(
        zarr.core.buffer.default_buffer_prototype()
    )["zarr.json"].to_bytes()  # fmt: skip
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # the chunks are compressed already
        archive.writestr("zarr.json", root_group)
        for stage in STAGES:
            stores = folder.stores(stage)
            if stores:
                archive.writestr(f"{stage}/zarr.json", root_group)
            for N, store in stores.items():
                _add(archive, store, f"{stage}/N{N}")
        for name in TABLES:
            if folder.table(name).exists():
                _add(archive, folder.table(name), name)


def _add(archive: zipfile.ZipFile, store: Path, name: str) -> None:
    for file in sorted(store.rglob("*")):
        if file.is_file():
            archive.write(file, f"{name}/{file.relative_to(store).as_posix()}")


_WRITERS: dict[Format, Callable[[xr.DataTree, SweepFolder, Path], None]] = {
    Format.NETCDF: _write_netcdf,
    Format.CSV: _write_csv,
    Format.ZARR_ZIP: _write_zarr_zip,
}


def _describe(tree: xr.DataTree, folder: SweepFolder, to: Format, target: Path, licence: str) -> None:
    census = take_census(folder)
    pending = {
        f"N = {cell.N}, alpha = {cell.alpha:.6g}": cell.pending for cell in census.cells if cell.pending
    }
    state = (
        f"INCOMPLETE: {sum(pending.values())} runs are pending ({len(pending)} cells, see datapackage.json)."
        if pending
        else "Complete: every run that the sweep asks for is there."
    )
    name = folder.root.resolve().name
    attributes = next((node.attrs for node in tree.leaves if "specification" in node.attrs), {})
    files = sorted(target.iterdir())
    package: dict[str, Any] = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": name.lower(),
        "title": f"phasepipe sweep {name}: gradient descent for Gaussian phase retrieval",
        "description": state,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "licenses": [{"name": licence}],
        "contributors": [],
        "resources": [_resource(file) for file in files],
        "pending": pending,
        "provenance": {
            key: value for key, value in attributes.items() if key not in ("asked", "coordinates")
        },
        "groups": {node.path: _variables(node.to_dataset()) for node in tree.leaves},
    }
    if to is Format.CSV:
        package["left_out"] = f"variables along {' and '.join(_LEFT_OUT_OF_CSV)}; netCDF and Zarr hold them"
    (target / "datapackage.json").write_text(json.dumps(package, indent=1, default=_plain) + "\n")
    citation = tree.phase.cite() if "runs" in tree.children else ""
    (target / "README.md").write_text("\n".join(_readme(package, citation)) + "\n")


def _resource(file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "name": file.name.lower().replace("_", "-"),
        "path": file.name,
        "mediatype": _MEDIA[file.suffix],
        "bytes": file.stat().st_size,
        "hash": f"sha256:{digest}",
    }


def _variables(data: xr.Dataset) -> dict[str, Any]:
    return {
        str(name): {"dims": list(variable.dims), "shape": list(variable.shape), "dtype": str(variable.dtype)}
        | {key: value for key, value in variable.attrs.items() if not str(key).startswith("_")}
        for name, variable in data.variables.items()
    }


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _readme(package: dict[str, Any], citation: str) -> Iterator[str]:
    yield f"# {package['title']}\n\n{package['description']}\n"
    yield f"Licence: {package['licenses'][0]['name']}. Described by `datapackage.json` (Data Package 2).\n"
    yield "| file | bytes | sha256 |\n|---|---|---|"
    for file in package["resources"]:
        yield f"| {file['path']} | {file['bytes']} | {file['hash'].removeprefix('sha256:')} |"
    for path, variables in package["groups"].items():
        yield f"\n## {path.strip('/')}\n\n| variable | dimensions | units | meaning |\n|---|---|---|---|"
        for name, what in variables.items():
            codes = what.get("flag_values")
            meaning = str(what.get("long_name", ""))
            if codes is not None:
                pairs = zip(codes, what["flag_meanings"].split(), strict=True)
                meaning += ": " + ", ".join(f"{code} {word}" for code, word in pairs)
            yield f"| {name} | {', '.join(what['dims'])} | {what.get('units', '')} | {meaning} |"
    if citation:
        yield f"\n## Citation\n\n```\n{citation}\n```"
