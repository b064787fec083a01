"""Folders and files that a configuration names: ``~`` and variables of the environment are written out."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)


def expanded(text: str) -> str:
    """A path with ``~``, ``$NAME`` and ``${NAME}`` written out.

    Raises
    ------
    ValueError
        If it is empty, or names a variable or a user that this machine does not know.
    """
    if not text.strip() or "\0" in text or "\n" in text:
        raise ValueError(f"{text!r} names no file or folder; write for example 'results'")

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if not os.environ.get(name):
            raise ValueError(
                f"{text!r} names the variable {name} of the environment, which is not set or empty; "
                "set it, or write the path out"
            )
        return os.environ[name]

    path = _VARIABLE.sub(value, text)
    if "$" in _VARIABLE.sub("", text):
        raise ValueError(
            f"{text!r} has a $ that begins no name of a variable; write for example ${{SCRATCH}}/x"
        )
    if path.startswith("~"):
        try:
            path = str(Path(path).expanduser())
        except RuntimeError as error:
            user = path.split("/")[0]
            raise ValueError(f"{text!r}: {user} is no user of this machine; write the path out") from error
    return path


def _expanded_if_text(value: Any) -> Any:
    return expanded(value) if isinstance(value, str) else value


ExpandedPath = Annotated[str, BeforeValidator(_expanded_if_text)]
