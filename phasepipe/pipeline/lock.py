"""A lock file that refuses a second writer and recognises a dead one.

A killed workflow can leave the script of a stage running and writing; the lock says who it is.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phasepipe.pipeline.errors import UserError


class StoreLockedError(UserError):
    """Another process is writing; the message names it."""


def _start_of(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot, or None if it is gone; tells reused pids apart."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:  # no /proc on this system
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def _owner_is_gone(owner: dict[str, Any]) -> bool:
    here = owner.get("host") == socket.gethostname()
    return here and _start_of(int(owner["pid"])) != owner.get("process_start")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        owner = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        owner = {}
    whole = (
        isinstance(owner, dict) and isinstance(owner.get("pid"), int) and {"host", "since"} <= owner.keys()
    )
    return owner if whole else {"pid": "?", "host": "?", "since": "?"}


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs.

    Raises
    ------
    StoreLockedError
        If a living process, or one on another host, holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "process_start": _start_of(os.getpid()),
    }
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(mine))
    try:
        _acquire(path, draft)
    finally:
        draft.unlink(missing_ok=True)
    try:
        yield
    finally:
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def _acquire(path: Path, draft: Path) -> None:
    for _ in range(3):
        try:
            os.link(draft, path)  # fails if it exists, and is never seen half-written
            return
        except FileExistsError:
            owner = _read(path)
            if owner is not None and not _owner_is_gone(owner):
                raise StoreLockedError(
                    f"{path.parent} is being written by process {owner['pid']} on {owner['host']} since "
                    f"{owner['since']}; wait for it, end it, or delete {path} if it is gone"
                ) from None
            path.unlink(missing_ok=True)
    raise StoreLockedError(f"{path} cannot be taken: other processes take it again and again")
