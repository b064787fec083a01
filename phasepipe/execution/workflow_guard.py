"""Allow one workflow per sweep.

Snakemake's own lock remains when Snakemake is killed and must then be removed by hand. The lock used here
names its process and is taken over when that process has ended; the profile therefore disables Snakemake's
lock.
"""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack
from pathlib import Path

from phasepipe.execution.interruption import end_workflow_on_signals, workflow_variable
from phasepipe.log import logger
from phasepipe.store.atomic import remove_all_leftovers
from phasepipe.store.history import announce_command
from phasepipe.store.lock import exclusive


def guard_workflow(folder: Path) -> None:
    """Lock ``folder`` for the workflow of this process until it ends, and name this process to its scripts.

    Raises
    ------
    StoreLockedError
        If another workflow is writing into the folder.
    """
    held = ExitStack()
    # absolute path: Snakemake may change its working directory
    lock = folder.absolute() / "workflow.lock"
    killed = os.path.lexists(lock)
    held.enter_context(exclusive(lock))
    if killed:
        logger.warning("the last run of sweep %r was killed; its finished blocks are kept", folder.name)
    remove_all_leftovers(folder)  # drafts of killed writers
    atexit.register(held.close)
    announce_command()
    os.environ.update(workflow_variable())
    end_workflow_on_signals()  # instead of Snakemake's handler, which waits for running scripts
