"""How loops are compiled with Numba: strict arithmetic, and machine code that is kept for the next process.

Compiling all loops takes about ten seconds, once on a machine. The machine code is kept in a folder whose
name is a digest of all source that takes part, because Numba itself notices only changes of the file in which
a loop stands. The folder is beside the package or, if that cannot be written, in the user's cache.

No option allows the compiler to reorder or to contract operations, so the bits of a result depend neither on
the processor nor on the width of its registers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core import config

Function = TypeVar("Function", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parents[1]
_SOURCES = (
    "physics/compiled.py",
    "physics/control.py",
    "physics/kernels.py",
    "physics/recurrence.py",
    "physics/steps.py",
    "physics/tiles.py",
    "theory/resolvent.py",
)


def compiled(function: Function) -> Function:
    """Decorator of a loop over numbers: it is compiled at its first call."""
    folder, before = _folder(), config.CACHE_DIR
    config.CACHE_DIR = folder or before
    try:
        loop: Function = njit(cache=folder is not None, error_model="numpy", nogil=True)(function)
    finally:
        config.CACHE_DIR = before
    return loop


@cache
def _folder() -> str | None:
    """Where machine code is kept; None if no folder can be written: then every process compiles again."""
    source = b"".join((_PACKAGE / name).read_bytes() for name in _SOURCES)
    digest = hashlib.sha256(source).hexdigest()[:16]
    for place in _places():
        folder = place / f"compiled-{digest}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return str(folder)
    return None


def _places() -> Iterator[Path]:
    if config.CACHE_DIR:  # the user's choice, by NUMBA_CACHE_DIR
        yield Path(config.CACHE_DIR)
    yield _PACKAGE / "__pycache__"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    yield Path(home) / "phasepipe"
