"""Where blocks are computed: a Dask cluster of one's own, somebody else's, or SLURM jobs."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dask
from dask.utils import parse_bytes
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from phasepipe.pipeline.errors import UserError
from phasepipe.pipeline.parts import ClusterSpec, SchedulerAddress, SchedulerFile, SlurmCluster
from phasepipe.pipeline.parts import LocalCluster as LocalSpec


class ClusterError(UserError):
    """The cluster cannot be reached or started; the message says what to do."""


# BLAS threads collapse on small products and fight over cores: one thread per worker process
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_CONFIG = {
    "distributed.nanny.pre-spawn-environ": _ONE_THREAD,
    "distributed.scheduler.allowed-failures": 3,
    "distributed.admin.tick.limit": "30 s",
    "distributed.worker.memory.terminate": 0.95,
}


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_memory(spec: ClusterSpec) -> float:
    """Memory limit of a worker of the cluster in bytes; infinite where somebody else decides it."""
    if isinstance(spec, LocalSpec):
        return MEMORY_LIMIT / (spec.workers or available_cores())
    if isinstance(spec, SlurmCluster):
        return float(parse_bytes(spec.memory)) / spec.cores
    return float("inf")


@contextmanager
def connect(spec: ClusterSpec, cores: int | None = None) -> Iterator[Client]:
    """A client of the cluster that ``spec`` describes; what was started here is closed at the end.

    Parameters
    ----------
    spec
        Cluster part of the sweep.
    cores
        Worker processes of a local cluster if the specification names none; default all cores.

    Raises
    ------
    ClusterError
        If a named cluster cannot be reached.
    """
    with dask.config.set(_CONFIG):
        if isinstance(spec, LocalSpec):
            with _local(spec.workers or cores or available_cores()) as client:
                yield client
        elif isinstance(spec, SlurmCluster):
            with _slurm(spec) as client:
                yield client
        else:
            with _existing(spec) as client:
                yield client


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for processes that are started meanwhile; Dask's own setting gives way to the user's."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, which a terminal sends to all: their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    with _environment(_ONE_THREAD):
        with _deaf_to_interrupts():
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # a port of its own: several stages may run at once
                scheduler_kwargs={"dashboard": False},
                silence_logs=40,
            )
        with cluster, Client(cluster) as client:
            yield client


@contextmanager
def _slurm(spec: SlurmCluster) -> Iterator[Client]:
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError:
        raise ClusterError(
            "cluster.kind = slurm needs dask-jobqueue: pip install 'phasepipe[slurm]'"
        ) from None
    with (
        SLURMCluster(
            cores=spec.cores,
            processes=spec.cores,
            memory=spec.memory,
            walltime=spec.walltime,
            queue=spec.queue,
            account=spec.account,
            interface=spec.interface,
            job_script_prologue=[f"export {name}={value}" for name, value in _ONE_THREAD.items()],
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(jobs=spec.jobs)
        yield client


@contextmanager
def _existing(spec: SchedulerFile | SchedulerAddress) -> Iterator[Client]:
    if isinstance(spec, SchedulerFile):
        # the client would wait for the file for ever, whatever its timeout
        if not Path(spec.path).is_file():
            raise ClusterError(
                f"cluster.path = {spec.path!r} does not exist; "
                f"hold a cluster open with: phasepipe cluster --scheduler-file {spec.path}"
            )
        _check_scheduler_file(Path(spec.path))
        arguments, where = {"scheduler_file": spec.path}, spec.path
    else:
        arguments, where = {"address": spec.address}, spec.address
    try:
        client = Client(**arguments, timeout="10s")
    except (OSError, TimeoutError) as error:
        raise ClusterError(f"no Dask scheduler answers at {where}: {error}; is it still running?") from error
    with client:
        yield client


def _check_scheduler_file(path: Path) -> None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"cluster.path = {str(path)!r} cannot be read as a scheduler file: {error}"
        ) from error
    if not (isinstance(content, dict) and isinstance(content.get("address"), str)):
        raise ClusterError(f"cluster.path = {str(path)!r} is no scheduler file; it names no address")


def write_scheduler_file(client: Client, path: Path) -> None:
    """Tell other processes where the scheduler of ``client`` is.

    Raises
    ------
    ClusterError
        If the file cannot be written.
    """
    # Client.write_scheduler_file adds the metrics of the workers, which JSON cannot always hold
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(json.dumps({"type": "Scheduler", "address": client.scheduler_info()["address"]}))
        draft.replace(path)
    except OSError as error:
        raise ClusterError(f"scheduler file {path} cannot be written: {error.strerror}") from error
