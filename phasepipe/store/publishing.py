"""The one file that says what a store is: its root metadata, replaced as a whole.

Readers take the metadata of all arrays from ``zarr.json`` of the root (Zarr calls them consolidated), so they
see the store before or after a growth, never between: arrays and coordinates are extended first, which
nobody sees, and this file is replaced last. A digest in it tells a changed character.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phasepipe.store.atomic import replace_bytes
from phasepipe.store.records import digest_of

ROOT = "zarr.json"
DIGEST = "metadata_digest"  # root attribute


def root_content(store: Path, attributes: Mapping[str, Any] | None = None) -> bytes:
    """Root metadata that name every array as it is now; ``attributes`` are added or changed."""
    root = json.loads((store / ROOT).read_text())
    found = sorted(store.glob(f"*/{ROOT}"))
    root["attributes"] = root.get("attributes", {}) | dict(attributes or {})
    root["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": {file.parent.name: json.loads(file.read_text()) for file in found},
    }
    root["attributes"][DIGEST] = metadata_digest(root)
    return json.dumps(root, indent=1).encode()


def publish(store: Path, content: bytes | None = None) -> None:
    """Let readers see the arrays as they are now, or as ``content`` says."""
    content = root_content(store) if content is None else content
    if (store / ROOT).read_bytes() != content:
        replace_bytes(store / ROOT, content)


def metadata_digest(root: Mapping[str, Any]) -> str:
    """Digest of root metadata, without the attribute that holds it."""
    attributes = {name: value for name, value in root["attributes"].items() if name != DIGEST}
    return digest_of({**root, "attributes": attributes})
