"""What names a process among all that ever ran, and whether it has ended.

Unknown means alive: a process of another host, of another container, or one that the system hides, is never
said to have ended.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from pathlib import Path
from typing import Any

_UNKNOWN = "unknown"


def identity_of_this_process() -> dict[str, Any]:
    """Pid and user; the host, its boot and the pid namespace that make the pid one of a kind; its start."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": boot(),
        "namespace": _namespace(),
        "user": _user(),
        "process_start": _start_of(os.getpid()),
    }


def boot() -> str:
    """What names the time since this machine was started."""
    return _content("/proc/sys/kernel/random/boot_id")


def machine() -> str:
    """What tells the processes of this boot and pid namespace from all others, in eight letters."""
    told = f"{socket.gethostname()}/{boot()}/{_namespace()}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def exists(pid: int) -> bool:
    """Whether a process of this boot and pid namespace has that number now."""
    return _start_of(pid) is not None


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether a process named by :func:`identity_of_this_process` has ended, as far as can be seen here."""
    if owner.get("host") != socket.gethostname():
        return False
    if owner.get("boot", boot()) != boot():
        return True
    # earlier versions did not name the namespace
    if owner.get("namespace", _namespace()) != _namespace():
        return False
    start = _start_of(int(owner["pid"]))
    return start != _UNKNOWN and start != owner.get("process_start")


def _start_of(pid: int) -> str | None:
    """Start of a process in clock ticks since boot; None if it is gone, "unknown" if it is hidden."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        pass
    else:
        return None if fields[0] in "ZX" else fields[19]  # a zombie writes no more
    # no /proc on this system, or one that hides the processes of others: signals tell what is there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except (PermissionError, OverflowError):
        pass
    return _UNKNOWN


def _namespace() -> str:
    """Containers count their processes from 1: the same pid on the same host may be another process."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return _UNKNOWN


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user that the system has no name for
        return str(os.getuid())


def _content(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return _UNKNOWN
