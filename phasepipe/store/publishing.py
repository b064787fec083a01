"""Root metadata of a store, replaced atomically.

Readers take the metadata of all arrays from the root ``zarr.json`` (Zarr calls them consolidated metadata).
Arrays and coordinates are extended first, which readers do not see, and this file is replaced last, so that
readers see the store either before or after a growth. A digest in the file reveals a changed character.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phasepipe.files import read_regular
from phasepipe.store.atomic import replace_bytes
from phasepipe.store.digests import digest_of

ROOT = "zarr.json"
DIGEST = "metadata_digest"  # root attribute


def root_content(store: Path, attributes: Mapping[str, Any] | None = None) -> bytes:
    """Root metadata with the current metadata of every array; ``attributes`` are added or changed."""
    root = json.loads(read_regular(store / ROOT))
    found = sorted(store.glob(f"*/{ROOT}"))
    root["attributes"] = root.get("attributes", {}) | dict(attributes or {})
    root["consolidated_metadata"] = {
        "kind": "inline",
        "must_understand": False,
        "metadata": {file.parent.name: json.loads(read_regular(file)) for file in found},
    }
    root["attributes"][DIGEST] = metadata_digest(root)
    return json.dumps(root, indent=1).encode()


def publish(store: Path, content: bytes | None = None) -> None:
    """Replace the root metadata by ``content`` (default: the current state of the arrays)."""
    content = root_content(store) if content is None else content
    if read_regular(store / ROOT) != content:
        replace_bytes(store / ROOT, content)


def metadata_digest(root: Mapping[str, Any]) -> str:
    """Digest of root metadata, excluding the attribute that holds the digest."""
    attributes = {name: value for name, value in root["attributes"].items() if name != DIGEST}
    return digest_of({**root, "attributes": attributes})
