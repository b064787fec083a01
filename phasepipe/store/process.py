"""Identify a process uniquely, and determine whether it has ended.

A process whose state is unknown (on another host, in another container, or hidden by the system) counts as
alive.
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
    """Pid, user and start time, with the host, boot and pid namespace that make the pid unique."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": boot(),
        "namespace": _namespace(),
        "user": _user(),
        "process_start": _start_of(os.getpid()),
    }


def boot() -> str:
    """Identifier of the current boot of this machine."""
    return _content("/proc/sys/kernel/random/boot_id")


def machine() -> str:
    """Identifier of this host, boot and pid namespace: eight hexadecimal digits."""
    text = f"{socket.gethostname()}/{boot()}/{_namespace()}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def exists(pid: int) -> bool:
    """Whether a process with this pid exists in the current boot and pid namespace."""
    return _start_of(pid) is not None


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether a process identified by :func:`identity_of_this_process` is known to have ended."""
    if owner.get("host") != socket.gethostname():
        return False
    if owner.get("boot", boot()) != boot():
        return True
    # earlier versions did not store the namespace
    if owner.get("namespace", _namespace()) != _namespace():
        return False
    start = _start_of(int(owner["pid"]))
    return start != _UNKNOWN and start != owner.get("process_start")


def _start_of(pid: int) -> str | None:
    """Start of a process in clock ticks since boot; None if it has ended, "unknown" if it is hidden."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        pass
    else:
        return None if fields[0] in "ZX" else fields[19]  # a zombie no longer writes
    # without /proc, or if it hides the processes of other users, signal 0 shows whether the process exists
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except (PermissionError, OverflowError):
        pass
    return _UNKNOWN


def _namespace() -> str:
    """Pid namespace of this process: containers reuse the same pids, so a pid alone is ambiguous."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return _UNKNOWN


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return str(os.getuid())


def _content(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return _UNKNOWN
