"""Paths in a configuration: expand ``~`` and environment variables."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from phasepipe.errors import shown

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


def expanded(text: str) -> str:
    """Expand ``~``, ``$NAME`` and ``${NAME}`` in a path.

    Raises
    ------
    ValueError
        If the path is empty or no file system can hold it, or contains an unknown variable or user.
    """
    if not text.strip() or "\n" in text or not _is_encoded(text):
        raise ValueError(f"{shown(text)} is not a file or folder; write for example 'results'")

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not os.environ.get(name):
            raise ValueError(
                f"{shown(text)} contains the environment variable {name}, which is unset or empty; "
                "set it, or write the full path"
            )
        return os.environ[name]

    path = _VARIABLE.sub(value, text)
    if "$" in _VARIABLE.sub("", text):
        raise ValueError(
            f"{shown(text)} contains a $ without the name of a variable; write for example ${{SCRATCH}}/x"
        )
    if path.startswith("~"):
        try:
            path = str(Path(path).expanduser())
        except RuntimeError as error:
            user = path.split("/")[0]
            raise ValueError(
                f"{shown(text)}: {user} is not a user of this machine; write the full path"
            ) from error
    return path


def _is_encoded(text: str) -> bool:
    """Whether all programs can take this name: valid UTF-8 without NUL; Snakemake takes no other bytes."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _expanded_if_text(value: Any) -> Any:
    return expanded(value) if isinstance(value, str) else value


ExpandedPath = Annotated[str, BeforeValidator(_expanded_if_text)]
