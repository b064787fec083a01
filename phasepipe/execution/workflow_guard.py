"""One workflow per sweep, and no script that outlives its workflow.

Snakemake's own lock stays behind when Snakemake is killed and must then be removed by hand. This one names
its process and is taken over when that is gone; the profile therefore switches Snakemake's off.
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
_INTERVAL = 0.5  # seconds between looks at the workflow


def guard_workflow(folder: Path) -> None:
    """Hold ``folder`` for the workflow of this process until it ends, and tell the scripts whom to watch.

    Raises
    ------
    StoreLockedError
        If another workflow writes into the folder.
    """
    held = ExitStack()
    # absolute: Snakemake may leave the folder that it was started in
    held.enter_context(exclusive(folder.absolute() / "workflow.lock"))
    remove_all_leftovers(folder)  # of writers that were killed
    atexit.register(held.close)
    os.environ[_VARIABLE] = json.dumps(identity_of_this_process())


def end_with_workflow() -> None:
    """Let SIGTERM reach this process when the workflow that started it is gone."""
    text = os.environ.get(_VARIABLE)
    if text:
        threading.Thread(target=_watch, args=(json.loads(text),), daemon=True).start()


def _watch(workflow: dict[str, Any]) -> None:
    while not is_gone(workflow):
        time.sleep(_INTERVAL)
    os.kill(os.getpid(), signal.SIGTERM)
