"""Digests of bytes and of values that JSON can represent."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def digest_of(content: Any) -> str:
    """Digest of a value that JSON can represent."""
    return digest(json.dumps(content, sort_keys=True).encode())
