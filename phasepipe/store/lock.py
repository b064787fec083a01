"""A lock file that refuses a second writer and recognises a dead one.

A killed workflow can leave the script of a stage running and writing; the lock says who it is.
The file is made by a hard link, which succeeds once, on network file systems too. A dead owner's file is
taken over under ``flock`` on that very file: only processes of the owner's host may call it dead, so a lock
of this host is enough, and of two that find it dead one comes second and sees the file of the first.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phasepipe.errors import UserError
from phasepipe.store.atomic import draft_of


class StoreLockedError(UserError):
    """Another process is writing; the message names it."""


def _start_of(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot, or None if it is gone; tells reused pids apart."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        pass
    else:
        return None if fields[0] in "ZX" else fields[19]  # a zombie writes no more
    try:  # no /proc on this system
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def identity_of_this_process() -> dict[str, Any]:
    """What names this process among all that ever ran: pid, host, start of the process and of the machine."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": _boot(),
        "process_start": _start_of(os.getpid()),
    }


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether a process named by :func:`identity_of_this_process` has ended; never said of another host."""
    if owner.get("host") != socket.gethostname():
        return False
    restarted = owner.get("boot", _boot()) != _boot()
    return restarted or _start_of(int(owner["pid"])) != owner.get("process_start")


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


def holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock file ``path`` (pid, host, since), or None if nobody living does."""
    owner = _read(path)
    return None if owner is None or is_gone(owner) else owner


@contextmanager
def exclusive(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs.

    Parameters
    ----------
    path
        The lock file.
    patience
        Seconds to wait for a holder: what a killed workflow has left behind ends itself soon.

    Raises
    ------
    StoreLockedError
        If a living process, or one on another host, holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = identity_of_this_process() | {"since": datetime.now(UTC).isoformat(timespec="seconds")}
    draft = draft_of(path)
    draft.write_text(json.dumps(mine))
    try:
        _acquire(path, draft, time.monotonic() + patience)
    finally:
        draft.unlink(missing_ok=True)
    try:
        yield
    finally:
        # on a disk that fails it stays, and the next run sees that its holder is gone
        with suppress(OSError):
            if _read(path) == mine:
                path.unlink(missing_ok=True)


def _acquire(path: Path, draft: Path, deadline: float) -> None:
    while True:
        try:
            os.link(draft, path)  # fails if it exists, and is never seen half-written
            return
        except FileExistsError:
            owner = _read(path)
        if owner is None or _clear_away(path):
            continue
        if time.monotonic() >= deadline:
            raise StoreLockedError(
                f"{path.parent} is being written by process {owner['pid']} on {owner['host']} since "
                f"{owner['since']}; wait for it, end it, or delete {path} if it is gone"
            )
        time.sleep(0.2)


def _clear_away(path: Path) -> bool:
    """Remove the lock file of an owner that is gone; False if the owner lives."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        return True
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            same = os.path.samestat(os.fstat(file.fileno()), path.stat())
        except FileNotFoundError:
            return True
        if not same:  # somebody else was first: look again
            return True
        owner = _read(path)
        if owner is None or not is_gone(owner):
            return owner is None
        path.unlink(missing_ok=True)
        return True
