"""A lock file that keeps out a second writer and recognises when its owner has ended.

A killed workflow can leave the script of a stage running and writing; the lock file names that process. The
file is written under a temporary name, flushed and hard-linked to its final name, so that it appears with
its full content, also on network file systems. Without hard links (exFAT, SMB, some container mounts) it is
created under its final name with ``O_EXCL``.

The owner is considered dead in two cases: its host has no such process any more
(:mod:`phasepipe.store.process`), or no process holds the ``flock`` that the owner took on the file before it
appeared. The kernel releases a ``flock`` when its process ends, and shows it across containers. Otherwise the
owner is considered alive. A process that removes the file of a dead owner holds its ``flock`` meanwhile, so
that two processes cannot both take over.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from phasepipe.errors import UserError
from phasepipe.log import logger
from phasepipe.store.atomic import draft_of, flush_folder, remove_leftovers
from phasepipe.store.process import boot, identity_of_this_process, is_gone

_NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_BRIEFLY = 0.3  # seconds to wait for the flock, which another process may hold while it inspects the file
_TO_WRITE = 10.0  # seconds after which a lock file created under its final name must have its content
_PAUSE = 0.1  # seconds between two attempts
_UNNAMED = {"pid": "?", "host": "?", "since": "?"}


class StoreLockedError(UserError):
    """Another process is writing; the message names it."""


@contextmanager
def exclusive(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs.

    Parameters
    ----------
    path
        The lock file.
    patience
        Seconds to wait for the holder: a process left by a killed workflow soon ends on its own.

    Raises
    ------
    StoreLockedError
        If the folder is not writable, a process holds the lock that is alive or cannot be seen from here, or
        something else than a file stands in its place.
    """
    path = path.absolute()  # the process may change its working directory while it holds the lock
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held, mine = _acquire(path, time.monotonic() + patience)
    except PermissionError as error:
        raise StoreLockedError(
            f"{path.parent} cannot be written by {identity_of_this_process()['user']} ({error.strerror}); "
            "its owner can allow it with chmod -R g+w, or work in a folder of your own with the key results"
        ) from error
    try:
        yield
    finally:
        # if the disk fails, the file stays, and the next run sees that its owner has ended
        with suppress(OSError):
            if _is_at(held, path) and _read(held) == mine:
                path.unlink(missing_ok=True)
        with suppress(OSError):
            os.close(held)


def holder(path: Path) -> dict[str, Any] | None:
    """The process that holds the lock file ``path`` (pid, host, since), or None if there is none.

    Raises
    ------
    StoreLockedError
        If something else than a file stands in its place.
    """
    try:
        _require_file(path)
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would wait for its writer
    except FileNotFoundError:
        return None
    except OSError:
        return _UNNAMED
    try:
        owner = _read(file)
        return None if _is_dead(file, owner, time.time()) else owner or _UNNAMED
    finally:
        os.close(file)


def _acquire(path: Path, deadline: float) -> tuple[int, dict[str, Any]]:
    """Create the lock file; returns its descriptor, which holds the ``flock``, and its content."""
    while True:
        with suppress(FileExistsError):
            return _make(path)
        owner = _clear_away(path)
        if owner is None:
            continue
        # an owner that the file does not name can be judged only some seconds after the file was made
        if time.monotonic() >= deadline and (owner is not _UNNAMED or _age(path) > _TO_WRITE + _PAUSE):
            raise StoreLockedError(_refusal(path, owner))
        time.sleep(_PAUSE)


def _refusal(path: Path, owner: dict[str, Any]) -> str:
    advice = f"wait for it, end it, or delete {path} if it is gone"
    if owner is _UNNAMED:
        return f"{path.parent} is being written by a process that {path.name} does not name; {advice}"
    user = f" of {owner['user']}" if "user" in owner else ""
    return (
        f"{path.parent} is being written by process {owner['pid']}{user} on {owner['host']} since "
        f"{owner['since']}; {advice}"
    )


def _make(path: Path) -> tuple[int, dict[str, Any]]:
    remove_leftovers(path)
    draft = draft_of(path)
    try:
        made = _create(draft)
        try:
            os.link(draft, path)
        except OSError:
            os.close(made[0])
            raise
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        made = _create(path)
    finally:
        draft.unlink(missing_ok=True)
    flush_folder(path.parent)
    return made


def _create(path: Path) -> tuple[int, dict[str, Any]]:
    """Create a file, take its ``flock`` if the file system supports it, then write the owner into it."""
    mine = identity_of_this_process() | {"since": datetime.now(UTC).isoformat(timespec="seconds")}
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine["flock"] = True
        except OSError:
            mine["flock"] = False
        os.write(file, json.dumps(mine).encode())
        os.fsync(file)
    except BaseException:
        path.unlink(missing_ok=True)
        os.close(file)
        raise
    return file, mine


def _clear_away(path: Path) -> dict[str, Any] | None:
    """Remove the lock file if its owner is dead; returns the owner if it is alive, else None."""
    try:
        _require_file(path)
        file = _open(path)
    except FileNotFoundError:
        return None
    try:
        if not _is_at(file, path):  # another process has replaced the file: try again
            return None
        owner = _read(file)
        if not _is_dead(file, owner, _now(path)):
            return owner or _UNNAMED
        # meanwhile the owner may have ended and another process may have created a new file
        if not _is_at(file, path):
            return None
        if owner is None:
            logger.warning("%s does not name its owner, and no process holds it: taking it over", path)
        path.unlink(missing_ok=True)
        return None
    finally:
        os.close(file)


def _require_file(path: Path) -> None:
    """Refuse a folder, a link or a device in the place of a lock file, which nobody can hold or take over."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise StoreLockedError(f"{path} is no file, and so no lock of phasepipe; remove it")


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)  # flock needs write access on network file systems
    except PermissionError:  # a lock of another user
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def _is_dead(file: int, owner: dict[str, Any] | None, now: float) -> bool:
    """Whether the owner of the opened lock file is dead; takes its ``flock`` if so."""
    free = _is_free(file)
    if free is False:
        return False
    if owner is None:
        # left by a power failure, or being written right now, which is quick; the clock may have jumped
        return abs(now - os.fstat(file).st_mtime) >= _TO_WRITE
    same_kernel = owner.get("boot") == boot() != "unknown"
    return is_gone(owner) or bool(free and same_kernel and owner.get("flock"))


def _is_free(file: int) -> bool | None:
    """Whether no process holds the ``flock`` of the file; None if the file system does not support it."""
    until = time.monotonic() + _BRIEFLY
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_BRIEFLY / 10)
        except OSError:
            return None
        else:
            return True


def _read(file: int) -> dict[str, Any] | None:
    """The owner that the lock file names, or None."""
    try:
        owner = json.loads(os.pread(file, 2**16, 0))
    except ValueError:
        return None
    whole = (
        isinstance(owner, dict) and isinstance(owner.get("pid"), int) and {"host", "since"} <= owner.keys()
    )
    return owner if whole else None


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _age(path: Path) -> float:
    try:
        return abs(_now(path) - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def _now(path: Path) -> float:
    """Time by the clock of the file system, which may be that of another host."""
    probe = draft_of(path)
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()
