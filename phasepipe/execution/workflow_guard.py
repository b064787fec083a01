"""Allow one workflow per sweep, and end scripts whose workflow has ended.

Snakemake's own lock remains when Snakemake is killed and must then be removed by hand. The lock used here
names its process and is taken over when that process has ended; the profile therefore disables Snakemake's
lock.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from phasepipe.store.atomic import remove_all_leftovers
from phasepipe.store.lock import exclusive
from phasepipe.store.process import identity_of_this_process, is_gone

_VARIABLE = "PHASEPIPE_WORKFLOW"
_INTERVAL = 0.5  # seconds between checks of the workflow


def guard_workflow(folder: Path) -> None:
    """Lock ``folder`` for the workflow of this process until it ends, and name this process to its scripts.

    Raises
    ------
    StoreLockedError
        If another workflow is writing into the folder.
    """
    held = ExitStack()
    # absolute path: Snakemake may change its working directory
    held.enter_context(exclusive(folder.absolute() / "workflow.lock"))
    remove_all_leftovers(folder)  # drafts of killed writers
    atexit.register(held.close)
    os.environ[_VARIABLE] = json.dumps(identity_of_this_process())


def end_with_workflow() -> None:
    """Send SIGTERM to this process when the workflow that started it has ended."""
    text = os.environ.get(_VARIABLE)
    if text:
        threading.Thread(target=_watch, args=(json.loads(text),), daemon=True).start()


def _watch(workflow: dict[str, Any]) -> None:
    while not is_gone(workflow):
        time.sleep(_INTERVAL)
    os.kill(os.getpid(), signal.SIGTERM)
