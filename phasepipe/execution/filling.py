"""Fills the stores of a stage: locks them, creates or extends them, and computes their pending blocks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from distributed import Client

from phasepipe.errors import UserError
from phasepipe.execution.blocks import WORKER_PATIENCE, BlockTask, compute_blocks
from phasepipe.execution.cluster import connected_when_needed
from phasepipe.execution.cost import computed_here
from phasepipe.execution.progress import reporting
from phasepipe.log import logger, logging_to
from phasepipe.specification.sweep import Sweep
from phasepipe.store.block_store import BlockStore
from phasepipe.store.integrity import find_incomplete_blocks, mark_pending
from phasepipe.store.layout import Block, Layout
from phasepipe.store.lock import exclusive
from phasepipe.store.packing import Packer, pack, pack_finished
from phasepipe.store.unpacked import remove_drafts

# a pending block, and the block of the prerequisite store that its task also writes
BlockPair = tuple[Block, Block | None]

_SHARED_AXES = 2  # alpha and instance, the axes of the prerequisite store
_PATIENCE = 5.0  # seconds to wait for a lock: a script whose workflow was killed ends within two


@dataclass(frozen=True)
class Filling:
    """A store at one N, and how to compute its blocks.

    Attributes
    ----------
    title
        Name of the store in messages.
    path, layout
        The store.
    task
        Makes the task that computes a pending block. The second argument is the block of ``prerequisite``
        that this task also writes, or None. Called after the stores are locked and prepared.
    prerequisite
        Store of data that the tasks need and can write themselves, divided into blocks along alpha and
        instance like this one.
    """

    title: str
    path: Path
    layout: Layout
    task: Callable[[Block, Block | None], BlockTask]
    prerequisite: Filling | None = None

    @property
    def stores(self) -> list[Filling]:
        """The stores that the tasks write."""
        return [self] if self.prerequisite is None else [self.prerequisite, self]


Written = tuple[Filling, Block]


def fill_stores(
    sweep: Sweep,
    fillings: Sequence[Filling],
    title: str,
    cores: int,
    log: Path | None,
    client: Callable[[], Client] | None = None,
) -> None:
    """Compute all entries that ``sweep`` requests and that are not stored yet.

    The blocks of all N share one cluster, the most expensive blocks first, so that no worker is idle while
    another N is still computed. Tasks also write the pending prerequisite block that they draw anyway; the
    other pending blocks of the prerequisite stores are computed first.

    Parameters
    ----------
    sweep
        The sweep.
    fillings
        The stores.
    title
        Name of the stage in messages.
    cores
        Worker processes of a local cluster.
    log
        Log file; default standard error.
    client
        Gives the client of a cluster that outlives this call; default a cluster of its own.

    Raises
    ------
    StoreMismatchError, StoreLockedError
        If a store was made with other settings or code, or is being written by another process. Nothing has
        been computed then.
    ClusterError, ClusterLostError, BlocksFailedError
        If the cluster cannot be reached, is lost, or blocks fail. Finished blocks are stored.
    """
    with logging_to(log), ExitStack() as locks:
        leading: list[Written] = []
        pending: list[tuple[Filling, list[BlockPair]]] = []
        opened: list[BlockStore] = []
        for filling in fillings:
            store, blocks = _open(sweep, filling, locks)  # first, because it may be refused
            opened.append(store)
            needed = [] if filling.prerequisite is None else _open(sweep, filling.prerequisite, locks)[1]
            pairs, unpaired = _pair_blocks(blocks, needed)
            pending.append((filling, pairs))
            if filling.prerequisite is not None:
                leading += [(filling.prerequisite, block) for block in unpaired]
        if not leading and not any(pairs for _, pairs in pending):
            _settle(opened)
            return
        stores = [store.path for filling in fillings for store in filling.stores]
        with connected_when_needed(sweep.cluster, cores, here=computed_here(sweep)) as own:
            workers = (client or own)()
            # SLURM jobs may wait for days in the queue; execution/slurm.py watches them
            patience = math.inf if sweep.cluster.kind == "slurm" else WORKER_PATIENCE
            try:
                first = [filling.task(block, None) for filling, block in leading]
                _compute(workers, first, f"prerequisites of {title}", patience, stores)
                _pack(leading)  # the tasks read them
                tasks = [filling.task(*pair) for filling, pairs in pending for pair in pairs]
                _compute(workers, tasks, title, patience, stores)
            except (UserError, KeyboardInterrupt):  # blocks failed, the cluster was lost, or the user ends it
                for path in stores:
                    pack(path)
                raise
        _pack((filling, block) for filling, pairs in pending for block, _ in pairs)
        _pack(
            (filling.prerequisite, other)
            for filling, pairs in pending
            for _, other in pairs
            if filling.prerequisite is not None and other is not None
        )
        for path in stores:
            remove_drafts(path)  # of killed workers, whose blocks were then computed again
        _settle(opened)


def _settle(stores: list[BlockStore]) -> None:
    for store in stores:
        store.settle()


def _compute(client: Client, tasks: list[BlockTask], title: str, patience: float, stores: list[Path]) -> None:
    if tasks:
        with reporting(title, sum(task.block.count for task in tasks)) as reporter:
            compute_blocks(client, tasks, reporter, patience, Packer(stores))


def _pack(written: Iterable[Written]) -> None:
    """Pack finished blocks, all those of a store together."""
    blocks: dict[Path, list[Block]] = defaultdict(list)
    for filling, block in written:
        blocks[filling.path].append(block)
    for store, finished in blocks.items():
        pack_finished(store, finished)


def _open(sweep: Sweep, filling: Filling, locks: ExitStack) -> tuple[BlockStore, list[Block]]:
    """Lock and prepare a store; return it with its pending blocks."""
    locks.enter_context(exclusive(filling.path.with_suffix(".lock"), _PATIENCE))
    store = BlockStore.prepare(filling.path, sweep, filling.layout)
    if incomplete := find_incomplete_blocks(filling.path):
        logger.warning(
            "%s: %d blocks lack data that are marked as done; computing them again",
            filling.title,
            len(incomplete),
        )
        mark_pending(filling.path, incomplete)
    blocks = store.pending_blocks()
    pending, wanted = sum(block.count for block in blocks), int(store.wanted().sum())
    logger.info("%s: %d of %d stored, %d to compute", filling.title, wanted - pending, wanted, pending)
    remove_drafts(filling.path)
    if blocks:
        store.record_continuation(pending)
    return store, blocks


def _pair_blocks(blocks: list[Block], needed: list[Block]) -> tuple[list[BlockPair], list[Block]]:
    """Pair ``blocks`` with the blocks of ``needed`` that their tasks can write; return also the unpaired."""
    at: dict[tuple[int, ...], list[Block]] = defaultdict(list)
    for block in blocks:
        at[_place(block)].append(block)
    paired: dict[str, Block] = {}
    unpaired = []
    for other in needed:
        match at[_place(other)]:
            case [block] if _covers(block, other):  # with two blocks, one would have to wait for the other
                paired[block.label] = other
            case _:
                unpaired.append(other)
    return [(block, paired.get(block.label)) for block in blocks], unpaired


def _place(block: Block) -> tuple[int, ...]:
    """Position at which a block begins along the axes that both stores have."""
    return tuple(span.start for span in block.region[:_SHARED_AXES])


def _covers(block: Block, other: Block) -> bool:
    """Whether ``block`` contains all pending entries of ``other`` and both cover the same Zarr chunk."""
    same = block.region[:_SHARED_AXES] == other.region and all(
        np.array_equal(block.keys[key], values) for key, values in other.keys.items()
    )
    return same and not (other.todo & ~block.todo.any(axis=-1)).any()
