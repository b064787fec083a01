"""Computes the pending blocks of a store on a Dask cluster."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, cast

from distributed import Client, Future, KilledWorker, as_completed
from distributed.client import FutureCancelledError
from distributed.comm.core import CommClosedError
from threadpoolctl import threadpool_limits

from phasepipe.errors import UserError
from phasepipe.execution.progress import Reporter
from phasepipe.log import logger
from phasepipe.store.layout import Block

Tally = Mapping[str, int]
Compute = Callable[[Block], Tally]

_NAMED_FAILURES = 5  # in the message; the log has all
_POLL = 0.1  # seconds between looks for finished blocks: the scheduler hands out the next ones by itself
_LOOK = 1.0  # seconds between looks at the workers
WORKER_PATIENCE = 120.0  # seconds without any worker after which a stage gives up


class BlocksFailedError(UserError):
    """Some blocks could not be computed; the others are stored."""


class ClusterLostError(UserError):
    """The scheduler went away, or no worker came; finished blocks are stored."""


@dataclass(frozen=True)
class BlockTask:
    """A block, what computes it and what it costs; the largest start first, so that no long one ends alone.

    ``compute`` runs on a worker: computes and stores the block, returns a tally for the progress. ``memory``
    estimates the bytes of the largest arrays, for the message of a block that was too large.
    """

    block: Block
    compute: Compute
    cost: float
    description: str
    memory: float | None = None


def _compute_alone(compute: Compute, block: Block) -> Tally:
    # workers that others started may not have been told to use one BLAS thread
    with threadpool_limits(limits=1):
        return compute(block)


def compute_blocks(
    client: Client,
    tasks: list[BlockTask],
    reporter: Reporter,
    worker_patience: float = WORKER_PATIENCE,
) -> None:
    """Compute all ``tasks``; a failing one does not stop the others.

    Dask blames every task on a worker for the worker's death. So tasks that were blamed too often are
    tried once more, each alone: only those that kill their worker alone have failed.

    Parameters
    ----------
    client
        Dask client.
    tasks
        Blocks, of one store or several.
    reporter
        Told of every finished block.
    worker_patience
        Seconds to wait for a worker while there is none.

    Raises
    ------
    BlocksFailedError
        After all others are stored, naming each block that failed and why.
    ClusterLostError
        If the scheduler goes away, or there is no worker for too long.
    """
    largest_first = sorted(tasks, key=lambda task: -task.cost)
    failed = _attempt(client, largest_first, reporter, worker_patience)
    failures = []
    for task, error in failed:
        again = [(task, error)]
        if isinstance(error, KilledWorker):
            logger.warning("block %s was on workers that died; it is tried alone", task.description)
            again = _attempt(client, [task], reporter, worker_patience)
        failures += [_sentence(*pair) for pair in again]
    for failure in failures:
        logger.error("block failed: %s", failure)
    if failures:
        more = len(failures) - _NAMED_FAILURES
        shown = "; ".join(failures[:_NAMED_FAILURES]) + (
            f"; and {more} more, see the log" if more > 0 else ""
        )
        raise BlocksFailedError(
            f"{len(failures)} of {len(tasks)} blocks failed, all others are stored: {shown}"
        )


def _attempt(
    client: Client, tasks: list[BlockTask], reporter: Reporter, worker_patience: float
) -> list[tuple[BlockTask, BaseException]]:
    """Compute ``tasks`` side by side; returns those that failed, and why."""
    call = uuid.uuid4().hex  # a key used before would bring back what it once returned
    # one group of keys: the scheduler then hands out as many tasks as there are threads, and keeps the rest
    futures = {
        client.submit(
            _compute_alone,
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
        for future in _as_finished(client, list(futures), worker_patience):
            task = futures.pop(future)
            if future.status == "error":
                error = future.exception()
                assert error is not None
                failed.append((task, error))
            else:
                reporter.advance(task.block.count, _tally(future))
            future.release()
    except (CancelledError, FutureCancelledError, CommClosedError):  # the last is an OSError: no failing disk
        raise _scheduler_lost(client) from None
    return failed


def _tally(future: Future[Any]) -> Tally:
    """Tally of a finished block; empty if it was lost with its worker, for the block itself is stored."""
    try:
        return {} if future.status == "lost" else cast("Tally", future.result())
    except KilledWorker:  # lost, computed once more by Dask, and blamed for the death of others
        return {}


def _as_finished(client: Client, futures: list[Future[Any]], patience: float) -> Iterator[Future[Any]]:
    """Futures as they finish, while the cluster lives."""
    finished = as_completed(futures, loop=client.loop)
    last_worker = last_look = time.monotonic()
    while not finished.is_empty():
        batch = finished.next_batch(block=False)
        yield from batch
        if batch:
            continue
        if client.status != "running":
            raise _scheduler_lost(client)
        time.sleep(_POLL)
        now = time.monotonic()
        if now - last_look < _LOOK:
            continue
        last_look = now
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
        f"the Dask scheduler at {_address(client)} went away; finished blocks are stored; "
        "run the same command again, after starting the scheduler if it is your own"
    )


def _sentence(task: BlockTask, error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        need = "" if task.memory is None else f" (its arrays alone need about {task.memory / 2**20:.0f} MiB)"
        reason = (
            f"its worker ended again and again, most likely for memory{need} or a time limit of SLURM; "
            "take fewer workers so that each has more memory, or remove this store and set block_instances: 1"
        )
    else:
        reason = f"{type(error).__name__}: {error}"
    return f"{task.description}: {reason}"
