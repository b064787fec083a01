"""History of a store: which command made or extended it, when, and with which code.

The history is a root attribute. It is therefore replaced together with the metadata that a growth changes,
and protected like them: by their digest, by the copy next to the store, and by ``phasepipe verify``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

HISTORY = "history"  # root attribute
_VARIABLE = "PHASEPIPE_COMMAND"  # by which a workflow tells its scripts what the user typed
_PACKAGE = Path(__file__).parents[1]


def announce_command() -> None:
    """Tell the processes that this one starts that they are part of its command."""
    os.environ.setdefault(_VARIABLE, json.dumps(_command()))


def extended(attributes: Mapping[str, Any], **what: Any) -> list[Any]:
    """The history in the root attributes of a store, and the present command with ``what`` it does."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    code = {"version": importlib.metadata.version("phasepipe"), "commit": commit()}
    return [*past_entries(attributes), {"at": now} | _command() | code | what]


def past_entries(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The history in the root attributes of a store, oldest first; empty for one of an earlier version."""
    found = attributes.get(HISTORY, [])
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _command() -> dict[str, str]:
    """What the user typed, and when: by these two the parts of one command belong together."""
    if told := os.environ.get(_VARIABLE):
        return dict(json.loads(told))
    return _own_command()


@cache
def _own_command() -> dict[str, str]:
    program = Path(sys.argv[0]).name if sys.argv else ""
    return {
        "command": shlex.join([program, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


@cache
def commit() -> str:
    """Commit of the checkout that this package runs from, with -dirty after changes; else "unknown"."""
    tracked = _git("ls-files", "--error-unmatch", "__init__.py")
    return (_git("describe", "--always", "--dirty", "--abbrev=40") if tracked else "") or "unknown"


def _git(*arguments: str) -> str:
    try:
        ended = subprocess.run(
            ["git", "-C", str(_PACKAGE), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:  # git is not installed
        return ""
    return "" if ended.returncode else ended.stdout.strip()
