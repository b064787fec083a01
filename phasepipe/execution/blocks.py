"""Computes the pending blocks of a store on a Dask cluster."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from distributed import Client, Future, KilledWorker, as_completed
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError

from phasepipe.errors import UserError
from phasepipe.execution.progress import Reporter
from phasepipe.log import logger
from phasepipe.physics.threads import one_blas_thread
from phasepipe.store.layout import Block

Tally = Mapping[str, int]
Compute = Callable[[Block], Tally]

_NAMED_FAILURES = 5  # failures named in the error message; the log contains all
_POLL = 0.1  # seconds between checks for finished blocks; the scheduler assigns the next ones without us
_WORKER_CHECK = 5.0  # seconds between checks for workers
WORKER_PATIENCE = 120.0  # seconds without any worker after which a stage fails


class BlocksFailedError(UserError):
    """Some blocks could not be computed; all others are stored."""


class ClusterLostError(UserError):
    """The connection to the scheduler was lost, or there was no worker; finished blocks are stored."""


@dataclass(frozen=True)
class BlockTask:
    """A block with the function that computes it.

    Attributes
    ----------
    block
        The block.
    compute
        Computes and stores the block on a worker and returns counts for the progress display.
    cost
        Relative cost; expensive blocks start first, so that no long one runs alone at the end.
    description
        Names the block in messages.
    memory
        Estimated bytes of the largest arrays, for the error message if the worker runs out of memory.
    """

    block: Block
    compute: Compute
    cost: float
    description: str
    memory: float | None = None


def _compute_single_threaded(compute: Compute, block: Block) -> Tally:
    # workers that a user started may not be limited to one BLAS thread
    with one_blas_thread():
        return compute(block)


def compute_blocks(
    client: Client,
    tasks: list[BlockTask],
    reporter: Reporter,
    worker_patience: float = WORKER_PATIENCE,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Compute all ``tasks``; a failing task does not stop the others.

    When a worker dies, Dask counts a failure for every task on it. Tasks that reach Dask's limit are
    therefore retried one at a time, and only those that then still kill their worker count as failed.

    Parameters
    ----------
    client
        Dask client.
    tasks
        Blocks, of one store or several.
    reporter
        Shows the progress.
    worker_patience
        Seconds without any worker after which the computation fails.
    meanwhile
        Called again and again while the workers compute.

    Raises
    ------
    BlocksFailedError
        If blocks failed, after all others are stored; the message names the blocks and the reasons.
    ClusterLostError
        If the connection to the scheduler is lost, or there is no worker for ``worker_patience`` seconds.
    """
    largest_first = sorted(tasks, key=lambda task: -task.cost)
    failed = _attempt(client, largest_first, reporter, worker_patience, meanwhile)
    failures = []
    for task, error in failed:
        again = [(task, error)]
        if isinstance(error, KilledWorker):
            logger.warning(
                "%s: several workers died while computing this block; retrying it alone", task.description
            )
            again = _attempt(client, [task], reporter, worker_patience, meanwhile)
        failures += [_failure(*pair) for pair in again]
    for failure in failures:
        logger.error("block failed: %s", failure)
    if failures:
        more = len(failures) - _NAMED_FAILURES
        shown = "; ".join(failures[:_NAMED_FAILURES]) + (
            f"; and {more} more, listed in the log" if more > 0 else ""
        )
        raise BlocksFailedError(
            f"{len(failures)} of {len(tasks)} blocks failed, all others are stored: {shown}"
        )


def _attempt(
    client: Client,
    tasks: list[BlockTask],
    reporter: Reporter,
    worker_patience: float,
    meanwhile: Callable[[], None],
) -> list[tuple[BlockTask, BaseException]]:
    """Compute ``tasks`` in parallel; return the tasks that failed with their errors."""
    call = uuid.uuid4().hex  # a key that was used before would return the earlier result
    # with keys of one group the scheduler assigns as many tasks as there are threads and queues the others
    futures = {
        client.submit(
            _compute_single_threaded,
            task.compute,
            task.block,
            key=(f"blocks-{call}", task.block.label),
            priority=task.cost,
            pure=False,
        ): task
        for task in tasks
    }
    failed = []
    try:
        for future in _as_finished(client, list(futures), worker_patience, meanwhile):
            task = futures.pop(future)
            if future.status == "error":
                error = future.exception()
                assert error is not None
                failed.append((task, error))
            else:
                reporter.advance(task.block.count, _tally(future))
            future.release()
    except (
        CancelledError,
        FutureCancelledError,
        CommClosedError,
    ):  # CommClosedError is an OSError, but not a disk error
        raise _scheduler_lost(client) from None
    except KeyboardInterrupt:
        # workers that were killed with the workflow are replaced while this process ends, and would compute
        # blocks again whose counts were not yet fetched
        with suppress(OSError, TimeoutError, RuntimeError):
            client.cancel(list(futures), force=True)
        raise
    return failed


def _tally(future: Future[Any]) -> Tally:
    """Counts of a finished block; empty if they were lost with their worker (the block itself is stored)."""
    try:
        return {} if future.status == "lost" else cast("Tally", future.result())
    except (
        KilledWorker
    ):  # the counts were lost, and Dask counted other failures when it computed the block again
        return {}


def _as_finished(
    client: Client, futures: list[Future[Any]], patience: float, meanwhile: Callable[[], None]
) -> Iterator[Future[Any]]:
    """Yield futures as they finish, checking that the cluster still has a scheduler and workers."""
    finished = as_completed(futures, loop=client.loop)
    last_worker = last_check = time.monotonic()
    while not finished.is_empty():
        batch = finished.next_batch(block=False)
        yield from batch
        meanwhile()
        if batch:
            continue
        if client.status != "running":
            raise _scheduler_lost(client)
        time.sleep(_POLL)
        now = time.monotonic()
        if now - last_check < _WORKER_CHECK:
            continue
        last_check = now
        try:
            workers = client.scheduler_info(n_workers=1)["workers"]
        except (OSError, TimeoutError):
            raise _scheduler_lost(client) from None
        if workers:
            last_worker = now
        elif now - last_worker > patience:
            raise ClusterLostError(
                f"the Dask scheduler at {_address(client)} has had no worker for {patience:.0f} s; finished "
                "blocks are stored; start workers and run the same command again"
            )


def _address(client: Client) -> str:
    return str(client.scheduler.address) if client.scheduler is not None else "an unknown address"


def _scheduler_lost(client: Client) -> ClusterLostError:
    return ClusterLostError(
        f"the connection to the Dask scheduler at {_address(client)} was lost; finished blocks are stored; "
        "restart the scheduler if you started it yourself, then run the same command again"
    )


def _failure(task: BlockTask, error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        need = "" if task.memory is None else f" (its arrays alone need about {task.memory / 2**20:.0f} MiB)"
        reason = (
            f"its worker was killed repeatedly, probably because it ran out of memory{need} or reached the "
            "time limit of its SLURM job; use fewer workers, so that each has more memory, or delete this "
            "store and set block_instances: 1"
        )
    else:
        reason = f"{type(error).__name__}: {error}"
    return f"{task.description}: {reason}"
