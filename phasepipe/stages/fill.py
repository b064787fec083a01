"""What every block-wise stage does: open or grow the store, lock it, compute what is pending."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from phasepipe.pipeline.blocks import WORKER_PATIENCE, BlockTask, Compute, compute_blocks
from phasepipe.pipeline.cluster import connect
from phasepipe.pipeline.lock import exclusive
from phasepipe.pipeline.progress import logger, logging_to, reporting
from phasepipe.pipeline.store import Block, BlockStore, Layout
from phasepipe.pipeline.sweep import Sweep

_PATIENCE = 5.0  # seconds: a script whose workflow was killed ends itself within two


def fill_store(
    sweep: Sweep,
    path: Path,
    layout: Layout,
    compute: Compute,
    task: Callable[[Block], BlockTask],
    title: str,
    cores: int,
    log: Path | None,
) -> None:
    """Compute every entry of the store at ``path`` that ``sweep`` asks for and that is not done.

    Parameters
    ----------
    sweep
        The sweep.
    path, layout
        The store.
    compute
        Runs on a worker: computes and stores one block.
    task
        Cost and description of a block.
    title
        Name of the stage for people.
    cores
        Worker processes of a local cluster.
    log
        File for log lines; default standard error.

    Raises
    ------
    StoreMismatchError, StoreLockedError, ClusterError, ClusterLostError, BlocksFailedError
        See there.
    """
    with logging_to(log), exclusive(path.with_suffix(".lock"), _PATIENCE):
        store = BlockStore.prepare(path, sweep, layout)
        blocks = store.pending_blocks()
        pending, wanted = sum(block.count for block in blocks), int(store.wanted().sum())
        logger.info("%s: %d of %d stored, %d to compute", title, wanted - pending, wanted, pending)
        if not blocks:
            return
        store.remove_drafts()
        # SLURM may keep jobs waiting for days, and its jobs are watched there
        patience = math.inf if sweep.cluster.kind == "slurm" else WORKER_PATIENCE
        with connect(sweep.cluster, cores) as client, reporting(title, pending) as reporter:
            compute_blocks(client, compute, [task(block) for block in blocks], reporter, patience)
