"""What every block-wise stage does: open or grow its stores, lock them, compute what is pending."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from distributed import Client

from phasepipe.execution.blocks import WORKER_PATIENCE, BlockTask, compute_blocks
from phasepipe.execution.cluster import connect
from phasepipe.execution.progress import reporting
from phasepipe.log import logger, logging_to
from phasepipe.specification.sweep import Sweep
from phasepipe.store.block_store import BlockStore, remove_drafts
from phasepipe.store.integrity import find_holes, mark_pending
from phasepipe.store.layout import Block, Layout
from phasepipe.store.lock import exclusive

Pair = tuple[Block, Block | None]  # a block, and the one of the store beside that it writes on its way

_SHARED_AXES = 2  # alpha, instance
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
        From a pending block, and the block of ``beside`` that it is to write on its way or None, to its task;
        called when the stores are open and locked.
    beside
        Store of what the tasks need and have at hand, cut along the same leading axes.
    """

    title: str
    path: Path
    layout: Layout
    task: Callable[[Block, Block | None], BlockTask]
    beside: Filling | None = None


def fill_stores(sweep: Sweep, fillings: Sequence[Filling], title: str, cores: int, log: Path | None) -> None:
    """Compute every entry that ``sweep`` asks for and that is not done, of all stores in one go.

    The blocks of every N share the workers, the longest first: no N ends with idle workers, and only one
    cluster is started. What is pending in the stores beside is written by the blocks that have it at hand;
    the rest of it, if there is any, is computed first.

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
        leading: list[BlockTask] = []
        pending: list[tuple[Filling, list[Pair]]] = []
        for filling in fillings:
            others = [] if filling.beside is None else _open(sweep, filling.beside, locks)
            pairs, alone = _matched(_open(sweep, filling, locks), others)
            pending.append((filling, pairs))
            if filling.beside is not None:
                leading += [filling.beside.task(block, None) for block in alone]
        if not leading and not any(pairs for _, pairs in pending):
            return
        with connect(sweep.cluster, cores) as client:
            # SLURM may keep jobs waiting for days, and its jobs are watched there
            patience = math.inf if sweep.cluster.kind == "slurm" else WORKER_PATIENCE
            _compute(client, leading, f"what the {title} need", patience)
            tasks = [filling.task(*pair) for filling, pairs in pending for pair in pairs]
            _compute(client, tasks, title, patience)
        # a worker that was killed may have left some; its blocks were computed again
        for filling in fillings:
            for store in filter(None, (filling, filling.beside)):
                remove_drafts(store.path)


def _compute(client: Client, tasks: list[BlockTask], title: str, patience: float) -> None:
    if tasks:
        with reporting(title, sum(task.block.count for task in tasks)) as reporter:
            compute_blocks(client, tasks, reporter, patience)


def _open(sweep: Sweep, filling: Filling, locks: ExitStack) -> list[Block]:
    """Lock and prepare a store; its pending blocks."""
    locks.enter_context(exclusive(filling.path.with_suffix(".lock"), _PATIENCE))
    store = BlockStore.prepare(filling.path, sweep, filling.layout)
    if holes := find_holes(filling.path):
        logger.warning("%s: %d blocks lack what counts as done; computed again", filling.title, len(holes))
        mark_pending(filling.path, holes)
    blocks = store.pending_blocks()
    pending, wanted = sum(block.count for block in blocks), int(store.wanted().sum())
    logger.info("%s: %d of %d stored, %d to compute", filling.title, wanted - pending, wanted, pending)
    if blocks:
        remove_drafts(filling.path)
    return blocks


def _matched(blocks: list[Block], others: list[Block]) -> tuple[list[Pair], list[Block]]:
    """Each of ``blocks`` with the one of ``others`` that it can write, and the others that none can."""
    at: dict[tuple[int, ...], list[Block]] = defaultdict(list)
    for block in blocks:
        at[_place(block)].append(block)
    taken: dict[str, Block] = {}
    alone = []
    for other in others:
        match at[_place(other)]:
            case [block] if _covers(block, other):  # of two, one would have to wait for the other
                taken[block.label] = other
            case _:
                alone.append(other)
    return [(block, taken.get(block.label)) for block in blocks], alone


def _place(block: Block) -> tuple[int, ...]:
    """Where a block begins along the axes that all stores have."""
    return tuple(span.start for span in block.region[:_SHARED_AXES])


def _covers(block: Block, other: Block) -> bool:
    """Whether ``block`` has what is pending in ``other``, at the same positions: a chunk has one writer."""
    same = block.region[:_SHARED_AXES] == other.region and all(
        np.array_equal(block.keys[key], values) for key, values in other.keys.items()
    )
    return same and not (other.todo & ~block.todo.any(axis=-1)).any()
