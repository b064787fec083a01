"""What every block-wise stage does: open or grow its stores, lock them, compute what is pending."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from phasepipe.pipeline.blocks import WORKER_PATIENCE, BlockTask, compute_blocks
from phasepipe.pipeline.cluster import connect
from phasepipe.pipeline.lock import exclusive
from phasepipe.pipeline.progress import logger, logging_to, reporting
from phasepipe.pipeline.store import Block, BlockStore, Layout
from phasepipe.pipeline.sweep import Sweep

_PATIENCE = 5.0  # seconds: a script whose workflow was killed ends itself within two


@dataclass(frozen=True)
class Filling:
    """A store at one N, and how its blocks are computed.

    Attributes
    ----------
    title
        Name of the store for people.
    path, layout
        The store.
    task
        From a pending block to its task; called when the store is open and locked.
    """

    title: str
    path: Path
    layout: Layout
    task: Callable[[Block], BlockTask]


def fill_stores(sweep: Sweep, fillings: Sequence[Filling], title: str, cores: int, log: Path | None) -> None:
    """Compute every entry that ``sweep`` asks for and that is not done, of all stores in one go.

    The blocks of every N share the workers, the longest first: no N ends with idle workers, and only one
    cluster is started.

    Parameters
    ----------
    sweep
        The sweep.
    fillings
        The stores.
    title
        Name of the stage for people.
    cores
        Worker processes of a local cluster.
    log
        File for log lines; default standard error.

    Raises
    ------
    StoreMismatchError, StoreLockedError
        Before anything is computed.
    ClusterError, ClusterLostError, BlocksFailedError
        See there.
    """
    with logging_to(log), ExitStack() as locks:
        tasks: list[BlockTask] = []
        for filling in fillings:
            locks.enter_context(exclusive(filling.path.with_suffix(".lock"), _PATIENCE))
            tasks += _pending(sweep, filling)
        if not tasks:
            return
        # SLURM may keep jobs waiting for days, and its jobs are watched there
        patience = math.inf if sweep.cluster.kind == "slurm" else WORKER_PATIENCE
        count = sum(task.block.count for task in tasks)
        with connect(sweep.cluster, cores) as client, reporting(title, count) as reporter:
            compute_blocks(client, tasks, reporter, patience)


def _pending(sweep: Sweep, filling: Filling) -> list[BlockTask]:
    store = BlockStore.prepare(filling.path, sweep, filling.layout)
    blocks = store.pending_blocks()
    pending, wanted = sum(block.count for block in blocks), int(store.wanted().sum())
    logger.info("%s: %d of %d stored, %d to compute", filling.title, wanted - pending, wanted, pending)
    if blocks:
        store.remove_drafts()
    return [filling.task(block) for block in blocks]
