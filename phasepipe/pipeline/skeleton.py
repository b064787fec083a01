"""A copy of the small files that say what a store is: its metadata and its coordinates.

The chunks of data carry checksums and can be computed again. The metadata carry none, and a flipped bit in
a shape or a fill value would change what is read without an error. So a store has a copy of these files
beside it, with a digest of its own: what differs is put back, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path


def skeleton_file(store: Path) -> Path:
    """Where the copy for ``store`` lies."""
    return store.with_suffix(".skeleton.json")


def write_skeleton(store: Path, coordinates: Iterable[str] = ()) -> None:
    """Copy the metadata of ``store`` and the chunks of its ``coordinates``."""
    files = sorted(store.rglob("zarr.json"))
    for name in coordinates:
        files += sorted(file for file in (store / name / "c").rglob("*") if file.is_file())
        if (store / name / "c").is_file():  # the one chunk of a scalar
            files.append(store / name / "c")
    content = {
        file.relative_to(store).as_posix(): base64.b64encode(file.read_bytes()).decode() for file in files
    }
    text = json.dumps({"digest": _digest(content), "files": content})
    path = skeleton_file(store)
    try:
        if path.read_text() == text:
            return
    except (OSError, UnicodeDecodeError):
        pass
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)


def read_skeleton(store: Path) -> dict[str, bytes] | None:
    """Content of the copied files by their place in the store; None if there is no copy, or no whole one."""
    try:
        stored = json.loads(skeleton_file(store).read_text())
        content = stored["files"]
        if stored["digest"] != _digest(content):
            return None
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in content):
            return None  # it would be put back outside the store
        return {name: base64.b64decode(text) for name, text in content.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def differing_files(store: Path, skeleton: dict[str, bytes]) -> list[str]:
    """Files of the store that are not what the copy says, or are missing."""
    return [name for name, content in skeleton.items() if _content(store / name) != content]


def restore(store: Path, skeleton: dict[str, bytes]) -> None:
    """Put back the files that differ."""
    for name in differing_files(store, skeleton):
        path = store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_bytes(skeleton[name])
        draft.replace(path)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _digest(content: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
