"""A backup copy of the metadata and coordinates of a store.

Data chunks have checksums and can be computed again. Metadata files have none, and a flipped bit in a shape
or a fill value would change the values that are read without an error. Therefore a copy of these files, with
a digest, lies next to each store, and files that differ are restored from it byte for byte. There are two
copies, so that a flipped bit in one of them leaves the other intact.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from phasepipe.files import read_regular
from phasepipe.store.atomic import remove, replace_bytes
from phasepipe.store.publishing import ROOT


def skeleton_files(store: Path) -> tuple[Path, Path]:
    """Paths of the two copies for ``store``."""
    return store.with_suffix(".skeleton.json"), store.with_suffix(".skeleton-twin.json")


def write_skeleton(store: Path, coordinates: Iterable[str] = (), root: bytes | None = None) -> None:
    """Copy the metadata of ``store`` and the chunks of ``coordinates``; ``root`` is the new root metadata."""
    files = sorted(store.rglob("zarr.json"))
    for name in coordinates:
        files += sorted(file for file in (store / name / "c").rglob("*") if file.is_file())
        if (store / name / "c").is_file():  # the one chunk of a scalar
            files.append(store / name / "c")
    content = {
        file.relative_to(store).as_posix(): base64.b64encode(file.read_bytes()).decode() for file in files
    }
    if root is not None:
        content[ROOT] = base64.b64encode(root).decode()
    text = json.dumps({"digest": _digest(content), "files": content})
    for path in skeleton_files(store):
        if _content(path) != text.encode():
            _put(path, text.encode())


def read_skeleton(store: Path) -> dict[str, bytes] | None:
    """Content of the copied files by their path in the store; None if there is no intact copy."""
    for path in skeleton_files(store):
        if (content := _read(path)) is not None:
            return content
    return None


def damaged_copies(store: Path) -> list[Path]:
    """Copies that are damaged, or missing while the other exists."""
    there = [path for path in skeleton_files(store) if path.exists()]
    return [path for path in skeleton_files(store) if there and _read(path) is None]


def repair_copies(store: Path) -> None:
    """Replace a damaged copy by the intact one; if neither is intact, remove both."""
    paths = skeleton_files(store)
    whole = next((path for path in paths if _read(path) is not None), None)
    for path in damaged_copies(store):
        if whole is None:
            path.unlink(missing_ok=True)
        else:
            _put(path, whole.read_bytes())


def _read(path: Path) -> dict[str, bytes] | None:
    try:
        stored = json.loads(read_regular(path))
        content = stored["files"]
        if stored["digest"] != _digest(content):
            return None
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in content):
            return None  # it would be restored outside the store
        return {name: base64.b64decode(text) for name, text in content.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def differing_files(store: Path, skeleton: dict[str, bytes]) -> list[str]:
    """Files of the store that are missing or differ from the copy."""
    return [name for name, content in skeleton.items() if _content(store / name) != content]


def restore(store: Path, skeleton: dict[str, bytes]) -> None:
    """Restore the files that differ."""
    for name in differing_files(store, skeleton):
        path = store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _put(path, skeleton[name])


def _put(path: Path, content: bytes) -> None:
    """Write a file, also where a folder has taken its place."""
    if path.is_dir():
        remove(path)
    replace_bytes(path, content)


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except OSError:
        return None


def _digest(content: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
