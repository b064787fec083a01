"""Reading of files that somebody else may have put there."""

from __future__ import annotations

import os
import stat
from errno import EINVAL, EISDIR
from pathlib import Path
from typing import BinaryIO


class NotRegularError(OSError):
    """What should be a file is a folder, a named pipe or a device."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading in binary mode.

    Raises
    ------
    NotRegularError
        If it is no regular file: a named pipe would block for ever, and a device may never end.
    OSError
        If it cannot be opened.
    """
    # without O_NONBLOCK, opening a named pipe waits for its writer
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        reason = os.strerror(EISDIR) if stat.S_ISDIR(mode) else "it is not a regular file"
        raise NotRegularError(EINVAL, reason, str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """Content of a file; errors are those of :func:`open_regular`."""
    with open_regular(path) as file:
        return file.read()
