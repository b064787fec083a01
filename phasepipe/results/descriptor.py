"""Writes the descriptions of an export, for programs and for readers.

``datapackage.json`` is a Data Package, version 2 (https://datapackage.org), with the sha256 of every file
and the columns of every table. ``.zenodo.json`` contains the metadata that Zenodo requires, and ``README.md``
describes files and variables for readers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from phasepipe.results.history import read_history
from phasepipe.results.status import take_census
from phasepipe.store.folder import SweepFolder
from phasepipe.store.history import HISTORY

PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"
PLACEHOLDER = "Family name, Given names"
KEYWORDS = [
    "phase retrieval",
    "gradient descent",
    "random matrix theory",
    "finite-size scaling",
    "statistical physics",
]
_MEDIA = {".nc": "application/x-netcdf", ".csv": "text/csv", ".zip": "application/zip"}
_TYPES = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}

Field = dict[str, str]


def table_field(name: object, dtype: Any, attributes: Mapping[Any, Any]) -> Field:
    """Entry of a table schema for one column, with title and unit from ``attributes``."""
    field = {"name": str(name), "type": _TYPES.get(pd.api.types.pandas_dtype(dtype).kind, "string")}
    described = {"title": attributes.get("long_name"), "unit": attributes.get("units")}
    return field | {key: str(value) for key, value in described.items() if value is not None}


def describe(
    tree: xr.DataTree,
    folder: SweepFolder,
    target: Path,
    columns: Mapping[str, list[Field]],
    licence: str,
    creators: Sequence[str],
    notes: Mapping[str, str],
) -> None:
    """Write ``datapackage.json``, ``.zenodo.json`` and ``README.md`` into the folder ``target``.

    Parameters
    ----------
    tree, folder
        The sweep and the folder of its results.
    target
        Folder that contains the data files and nothing else.
    columns
        Table schemas by file name, for the files that are tables.
    licence
        SPDX identifier.
    creators
        Authors as "Family name, Given names"; may be empty.
    notes
        Additional entries of the data package.
    """
    cells = [cell for cell in take_census(folder).cells if cell.pending]
    pending = {f"N = {cell.N}, alpha = {cell.alpha:.6g}": cell.pending for cell in cells}
    name = folder.root.resolve().name
    title = f"phasepipe sweep {name}: gradient descent for Gaussian phase retrieval"
    state = (
        f"INCOMPLETE: {sum(pending.values())} runs in {len(pending)} cells (N, alpha) are not computed yet."
        if pending
        else "Complete: all runs that the sweep requests are included."
    )
    attributes = next((node.attrs for node in tree.leaves if "specification" in node.attrs), {})
    hidden = ("asked", "asked_at", "coordinates", HISTORY)
    package: dict[str, Any] = {
        "$schema": PROFILE,
        "name": name.lower(),
        "title": title,
        "description": state,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "keywords": KEYWORDS,
        "licenses": [{"name": licence}],
        **({"contributors": [{"title": one, "roles": ["creator"]} for one in creators]} if creators else {}),
        "resources": [_resource(file, columns.get(file.name)) for file in sorted(target.iterdir())],
        "pending": pending,
        "provenance": {key: value for key, value in attributes.items() if key not in hidden},
        "history": read_history(folder),
        "groups": {node.path: _variables(node.to_dataset()) for node in tree.leaves},
        **notes,
    }
    zenodo = {
        "title": title,
        "upload_type": "dataset",
        "description": f"{state} Success probabilities, trajectories and Hessian spectra of gradient descent "
        "on Gaussian phase retrieval; README.md lists all variables.",
        "creators": [{"name": one} for one in creators or [PLACEHOLDER]],
        "access_right": "open",
        "license": licence.lower(),
        "keywords": KEYWORDS,
    }
    _write_json(target / "datapackage.json", package)
    _write_json(target / ".zenodo.json", zenodo)
    citation = tree.phase.cite() if "runs" in tree.children else ""
    lines = _readme(package, citation, named=bool(creators))
    (target / "README.md").write_text("\n".join(lines) + "\n")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, default=_plain, allow_nan=False) + "\n")


def _resource(file: Path, fields: list[Field] | None) -> dict[str, Any]:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    resource: dict[str, Any] = {
        "name": file.name.lower(),
        "path": file.name,
        "mediatype": _MEDIA[file.suffix],
        "bytes": file.stat().st_size,
        "hash": f"sha256:{digest}",
    }
    if fields is not None:
        resource |= {"type": "table", "format": "csv", "encoding": "utf-8"}
        resource["schema"] = {"fields": fields, "missingValues": [""]}
    return resource


def _variables(data: xr.Dataset) -> dict[str, Any]:
    return {
        str(name): {"dims": list(variable.dims), "shape": list(variable.shape), "dtype": str(variable.dtype)}
        | {key: value for key, value in variable.attrs.items() if not str(key).startswith("_")}
        for name, variable in data.variables.items()
    }


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _readme(package: dict[str, Any], citation: str, named: bool) -> Iterator[str]:
    yield f"# {package['title']}\n\n{package['description']}\n"
    if package["pending"]:
        yield "| pending cell | runs |\n|---|---|"
        yield from (f"| {cell} | {count} |" for cell, count in package["pending"].items())
        yield ""
    yield f"Licence: {package['licenses'][0]['name']}."
    yield "`datapackage.json` describes the data as a Data Package, version 2."
    yield "`.zenodo.json` contains the metadata for Zenodo.\n"
    if not named:
        yield f"Before publishing, replace {PLACEHOLDER!r} in `.zenodo.json` by your names,"
        yield 'optionally with `"affiliation"` and `"orcid"`.\n'
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
