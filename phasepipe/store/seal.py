"""What binds the files of a table together, to its name, and to the runs it was made from.

Tables are small: the digests of all their files stand in their root metadata and are compared whenever a
table is read, so that a chunk of another table, or of an older state of this one, is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phasepipe.store.opening import read_attributes
from phasepipe.store.publishing import ROOT
from phasepipe.store.records import content_digest, digest

SEAL = "seal"  # root attribute
FROM_RUNS = ("success", "scaling", "fate")  # tables that are made of the runs


def make_seal(folder: Path, name: str, sources: Mapping[str, str]) -> dict[str, Any]:
    """Seal of the table in ``folder``, to be called ``name``, made from stores with these digests."""
    return {"table": name, "sources": dict(sources), "files": _digests(folder)}


def read_seal(path: Path) -> dict[str, Any] | None:
    """Seal of a table; None for one of an earlier version."""
    seal: dict[str, Any] | None = read_attributes(path).get(SEAL)
    return seal


def broken(path: Path, seal: Mapping[str, Any]) -> str | None:
    """What contradicts the seal of a table, or None."""
    if seal.get("table") != path.stem:
        return f"it is the table {seal.get('table')}"
    stated, found = seal["files"], _digests(path)
    for name in sorted(stated.keys() | found.keys()):
        if name not in found:
            return f"{name} is lost"
        if stated.get(name) != found[name]:
            return f"{name} is not what was written there"
    return None


def sources_of(path: Path) -> dict[str, str]:
    """Digests of what the runs stores hold now that the table ``path`` is made of."""
    root = path.parent
    if path.stem not in FROM_RUNS:
        return {}
    return {path.stem: content_digest(path) for path in sorted(root.glob("runs/N*.zarr"))}


def _digests(folder: Path) -> dict[str, str]:
    """Digests of all files but the root's, which holds the seal and has a digest of its own."""
    return {
        file.relative_to(folder).as_posix(): digest(file.read_bytes())
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / ROOT
    }
