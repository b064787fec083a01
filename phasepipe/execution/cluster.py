"""Dask clusters that compute the blocks: local workers, an existing scheduler, or SLURM jobs."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import dask
from dask.utils import parse_bytes
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from phasepipe.errors import ClusterError
from phasepipe.execution.credentials import Credentials, credentials_from, make_credentials
from phasepipe.execution.forking import (
    METHOD,
    WORKER_ENVIRONMENT,
    environment,
    prepare_workers,
    putting_off_signals,
)
from phasepipe.execution.slurm import slurm_client
from phasepipe.files import read_regular
from phasepipe.specification.cluster import (
    ClusterSpec,
    SchedulerAddress,
    SchedulerFile,
    SlurmCluster,
)
from phasepipe.specification.cluster import LocalCluster as LocalSpec
from phasepipe.store.atomic import replace_bytes

logger = logging.getLogger("phasepipe")

_CONNECT_TIMEOUT = 10.0  # seconds within which a scheduler must answer
_FIRST_WARNING, _WARNING_INTERVAL = 10.0, 60.0  # seconds without workers before the first and next warnings

_CONFIG = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    "distributed.scheduler.allowed-failures": 3,
    "distributed.admin.tick.limit": "30 s",
    # a paused worker would wait for ever: it holds no results that could be freed. At 95 % of its memory it
    # is killed instead, which is reported
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # the profiler samples every stack a hundred times a second for a dashboard that is not started
    "distributed.worker.profile.enabled": False,
    # by default Dask checks the delay of every event loop 50 times a second and memory 10 times: in idle
    # processes with two workers this took nearly a tenth of a core, and each check stops a computing thread
    "distributed.admin.tick.interval": "5 s",
    "distributed.admin.tick.cycle": "5 s",
    "distributed.worker.memory.monitor-interval": "500 ms",
    # values for a dashboard that is not started, in each of these processes: by default twice a second
    "distributed.admin.system-monitor.interval": "5 s",
    # what a client knows of the workers without asking
    "distributed.client.scheduler-info-interval": "10 s",
    # there are no copies of results to be made or removed
    "distributed.scheduler.active-memory-manager.start": False,
    # pages over HTTP, which need no certificate
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_memory(spec: ClusterSpec) -> float:
    """Memory limit of a worker in bytes; infinite for an existing cluster, whose limit is unknown."""
    if isinstance(spec, LocalSpec):
        return MEMORY_LIMIT / (spec.workers or available_cores())
    if isinstance(spec, SlurmCluster):
        return float(parse_bytes(spec.memory)) / (spec.processes or spec.cores)
    return float("inf")


@contextmanager
def connected_when_needed(
    spec: ClusterSpec, cores: int | None = None, here: bool = False
) -> Iterator[Callable[[], Client]]:
    """A function that connects as :func:`connect` does when first called, and then returns that client.

    With ``here`` the cluster is one thread of this process instead.
    """
    with ExitStack() as stack:
        yield cache(lambda: stack.enter_context(_in_this_process() if here else connect(spec, cores)))


@contextmanager
def connect(spec: ClusterSpec, cores: int | None = None) -> Iterator[Client]:
    """A client of the cluster that ``spec`` describes; processes started here are stopped at the end.

    Parameters
    ----------
    spec
        Cluster part of the sweep.
    cores
        Worker processes of a local cluster if the specification does not set them; default all cores.

    Raises
    ------
    ClusterError
        If an existing cluster cannot be reached, or a local one not started.
    """
    # silence tracebacks of a client that lost its scheduler: the stage reports the error in one sentence
    for name in ("distributed.client", "distributed.batched"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(_CONFIG):
        if isinstance(spec, LocalSpec):
            with _local(spec.workers or cores or available_cores()) as client:
                yield client
        elif isinstance(spec, SlurmCluster):
            given = make_credentials() if spec.security is None else credentials_from(spec.security)
            with dask.config.set(_SLURM_CONFIG), slurm_client(spec, WORKER_ENVIRONMENT, given) as client:
                yield client
        else:
            with _existing(spec) as client:
                yield client


@contextmanager
def _starting() -> Iterator[None]:
    """Report in one sentence that workers of this machine cannot start."""
    try:
        yield
    except (RuntimeError, OSError, TimeoutError) as error:
        raise ClusterError(
            f"the workers on this machine did not start ({error.__cause__ or error}); run the same command "
            "again, and if that does not help, with fewer of them: cluster: {kind: local, workers: 1}"
        ) from error


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    security = make_credentials().security()
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": METHOD}),
        environment(WORKER_ENVIRONMENT),
        ExitStack() as started,
    ):
        with putting_off_signals(), _starting():
            prepare_workers()
            cluster = started.enter_context(
                LocalCluster(
                    protocol="tls://",
                    security=security,
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",  # any free port: several stages may run at once
                    scheduler_kwargs={"dashboard": False},
                    scheduler_sync_interval=10,  # seconds between telling the scheduler its name
                    silence_logs=logging.CRITICAL,  # the stage reports dying workers in one sentence
                )
            )
        # not the default client: this process reads stores itself
        with Client(cluster, security=security, set_as_default=False) as client:
            yield client


@contextmanager
def _in_this_process() -> Iterator[Client]:
    """A scheduler and a worker of one thread, without sockets: for blocks that take less than a start."""
    with (
        dask.config.set(_CONFIG),
        LocalCluster(
            protocol="inproc://",
            processes=False,
            n_workers=1,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


# in a long stage, jobs that end at their time limit repeatedly interrupt blocks that are not at fault
_SLURM_CONFIG = {
    "distributed.scheduler.allowed-failures": 20,
    # Dask would close a job whose worker has been lost for this long, even a new job of the same name
    "distributed.deploy.lost-worker-timeout": "365 days",
}


@contextmanager
def _existing(spec: SchedulerFile | SchedulerAddress) -> Iterator[Client]:
    credentials = None if spec.security is None else credentials_from(spec.security)
    if isinstance(spec, SchedulerFile):
        address, written = _read_scheduler_file(Path(spec.path))
        credentials, where = credentials or written, spec.path
    else:
        address = where = spec.address
    refused = None
    try:
        # not the default client: a client that failed to connect would remain the default
        security = None if credentials is None else credentials.security()
        client = Client(address, security=security, timeout=_CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, OverflowError, ValueError, TypeError, RuntimeError) as error:
        refused = " ".join(str(error).split())
    if refused is not None:
        # Dask closes the failed client when it is garbage-collected, and takes the lock of all event loops.
        # Collect it now; otherwise this could happen in a thread that starts another client with that lock.
        gc.collect()
        raise ClusterError(
            f"no Dask scheduler answers at {where}: {refused}; "
            "is it still running, with the same version of Dask and the same TLS files?"
        )
    with client:
        _check_versions(client, where)
        with _warning_without_workers(client, where):
            yield client


def _check_versions(client: Client, where: str) -> None:
    """Reject workers that run another version of Dask and cannot read our messages."""
    versions: Any = client.get_versions()
    mine = versions["client"]["packages"]["distributed"]
    others = {"the scheduler": versions["scheduler"]} | {
        f"worker {address}": found for address, found in versions["workers"].items()
    }
    for who, found in others.items():
        theirs = found["packages"]["distributed"] if found else None
        if theirs is not None and theirs != mine:
            raise ClusterError(
                f"{who} of the cluster at {where} runs distributed {theirs}, this process {mine}; "
                "install the same version on both sides"
            )


@contextmanager
def _warning_without_workers(client: Client, where: str) -> Iterator[None]:
    """Print a warning from time to time while the scheduler has no workers."""
    over = threading.Event()

    def watch() -> None:
        pause = _FIRST_WARNING
        while not over.wait(pause):
            pause = _WARNING_INTERVAL
            if not client.scheduler_info(n_workers=-1)["workers"]:
                message = f"the cluster at {where} has no workers; waiting for them"
                logger.warning("%s", message)
                print(f"phasepipe: {message}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=10)


def _read_scheduler_file(path: Path) -> tuple[str, Credentials | None]:
    """Address and credentials in a scheduler file of ``phasepipe cluster``, or the address in one of Dask."""
    try:
        content = json.loads(read_regular(path))
    except FileNotFoundError:
        raise ClusterError(
            f"cluster.path = {str(path)!r} does not exist; "
            f"start a cluster with: phasepipe cluster --scheduler-file {path}"
        ) from None
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"cluster.path = {str(path)!r} cannot be read as a scheduler file ({error}); "
            f"write one with: phasepipe cluster --scheduler-file {path}"
        ) from error
    if not (isinstance(content, dict) and isinstance(content.get("address"), str)):
        raise ClusterError(
            f"cluster.path = {str(path)!r} is not a scheduler file: it contains no address. "
            f"Write one with: phasepipe cluster --scheduler-file {path}"
        )
    try:
        return content["address"], Credentials.from_scheduler_file(content)
    except TypeError:
        raise ClusterError(
            f"cluster.path = {str(path)!r} contains credentials that are not complete; "
            f"write it again with: phasepipe cluster --scheduler-file {path}"
        ) from None


def write_scheduler_file(client: Client, path: Path) -> None:
    """Write address and credentials of the scheduler of ``client`` for other processes of this user.

    Raises
    ------
    ClusterError
        If the file cannot be written.
    """
    # Client.write_scheduler_file adds the metrics of the workers, which JSON cannot always hold
    content = {"type": "Scheduler", "address": client.scheduler_info()["address"]}
    if (credentials := Credentials.of(client)) is not None:
        content |= credentials.in_scheduler_file()
    try:
        path.parent.stat()  # a missing folder is most likely a typing mistake
        # whoever can read the file can run code on the cluster
        replace_bytes(path, json.dumps(content).encode(), mode=0o600)
    except OSError as error:
        raise ClusterError(
            f"scheduler file {path} cannot be written ({error.strerror}); choose another folder"
        ) from error
