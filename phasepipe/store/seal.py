"""Seal of a table: the digests of its files, its name, and the digests of the runs it was made from.

Tables are small, so the digests of all their files are stored in their root metadata and compared whenever a
table is read, zipped or not. A chunk of another table, or of an older state of this one, is then an error.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phasepipe.errors import reason_of
from phasepipe.files import open_regular, read_regular
from phasepipe.store.digests import digest
from phasepipe.store.opening import read_attributes
from phasepipe.store.publishing import DIGEST, ROOT, metadata_digest
from phasepipe.store.reading import DamagedStoreError, cure
from phasepipe.store.records import content_digest

SEAL = "seal"  # root attribute
FROM_RUNS = ("success", "scaling", "fate")  # tables that are computed from the runs


def make_seal(folder: Path, name: str, sources: Mapping[str, str]) -> dict[str, Any]:
    """Seal of the table in ``folder`` that will be called ``name``, made from stores with these digests."""
    return {"table": name, "sources": dict(sources), "files": _digests(folder)}


def read_seal(path: Path) -> dict[str, Any] | None:
    """Seal of a table; None for one of an earlier version."""
    seal: dict[str, Any] | None = read_attributes(path).get(SEAL)
    return seal


def broken(path: Path, seal: Mapping[str, Any]) -> str | None:
    """How a table contradicts its seal, or None."""
    return _difference(seal, path.stem, _digests(path))


def check_archive(path: Path) -> None:
    """Read every file of a zipped table, and compare them with its seal; earlier versions made none.

    Raises
    ------
    DamagedStoreError
        If it is not as it was written.
    """
    complaint: str | None
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            files = {name: archive.read(name) for name in names}  # compares checksums and names
        root = json.loads(files.pop(ROOT))
        attributes = root["attributes"]
        if len(files) + 1 != len(names):
            complaint = "it lists a file twice"
        elif attributes.get(DIGEST, metadata_digest(root)) != metadata_digest(root):
            complaint = f"{ROOT} is not what was written there"
        elif SEAL in attributes:
            found = {name: digest(content) for name, content in files.items()}
            complaint = _difference(attributes[SEAL], path.name.partition(".")[0], found)
        else:
            complaint = None
    except Exception as error:  # the system, zipfile, its codecs and json each raise their own types
        complaint = f"no entry {error}" if isinstance(error, KeyError) else reason_of(error)
    if complaint is not None:
        raise DamagedStoreError(f"{path} is damaged ({complaint}); {cure(path)}")


def _difference(seal: Mapping[str, Any], table: str, found: Mapping[str, str]) -> str | None:
    """How a table with files of these digests contradicts a seal, or None."""
    if seal.get("table") != table:
        return f"it holds the table {seal.get('table')}"
    stated = seal["files"]
    for name in sorted(stated.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if stated.get(name) != found[name]:
            return f"{name} is not what was written there"
    return None


def sources_of(path: Path) -> dict[str, str]:
    """Current digests of the run stores that the table ``path`` is made from."""
    root = path.parent
    if path.stem not in FROM_RUNS:
        return {}
    return {path.stem: content_digest(path) for path in sorted(root.glob("runs/N*.zarr"))}


def _digests(folder: Path) -> dict[str, str]:
    """Digests of all files except the root metadata, which hold the seal and have their own digest."""
    return {
        file.relative_to(folder).as_posix(): digest(read_regular(file))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / ROOT
    }
