"""Runs Dask workers in SLURM jobs, replaces jobs that end, and cancels all jobs at the end.

dask-jobqueue submits and cancels the jobs. This module adds what dask-jobqueue lacks: it asks SLURM which
jobs have ended (dask-jobqueue never replaces a job of several processes), and reports why there is no worker.
"""

from __future__ import annotations

import getpass
import logging
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from _thread import interrupt_main
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from distributed import Client, Security

from phasepipe.errors import ClusterError
from phasepipe.execution.credentials import Credentials, on_shared_disk
from phasepipe.specification.cluster import SlurmCluster

logger = logging.getLogger("phasepipe")

_QUEUE_CHECK = 5.0  # seconds between two checks of the queue
_REPORT = 60.0  # seconds between two messages while there is no worker
# give up when jobs end this often before any worker connects; jobs that end together count once
_FAILED_ATTEMPTS = 3
_ALARM = signal.SIGUSR2
# what execution/cluster.py sets for workers that it starts itself
_SETTINGS = {
    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
    "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE": "False",
}


@contextmanager
def slurm_client(
    spec: SlurmCluster, environment: dict[str, str], credentials: Credentials
) -> Iterator[Client]:
    """Yield a client of workers in SLURM jobs; the jobs are cancelled at the end, also after errors.

    Parameters
    ----------
    spec
        Settings of the jobs.
    environment
        Environment variables of the worker processes.
    credentials
        Of scheduler, workers and client.

    Raises
    ------
    ClusterError
        If SLURM refuses the job, or if jobs end repeatedly before a worker connects.
    """
    for command in ("sbatch", "squeue", "scancel"):
        if shutil.which(command) is None:
            raise ClusterError(
                f"cluster.kind = slurm needs the command {command}, which is not on the PATH; "
                "run on a login node of the cluster or set cluster.kind to local"
            )
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError:
        raise ClusterError(
            "cluster.kind = slurm needs dask-jobqueue; install it with pip install 'phasepipe[slurm]'"
        ) from None
    name = f"phasepipe-{uuid.uuid4().hex[:8]}"
    with _interruptible(), on_shared_disk(credentials, Path(spec.log_directory)) as shared:
        try:
            try:
                cluster = SLURMCluster(**_arguments(spec, name, environment, shared.security()))
            except (ValueError, RuntimeError, OSError) as error:
                reason = " ".join(str(error).split())
                raise ClusterError(
                    f"the Dask scheduler for the SLURM jobs did not start: {reason}"
                ) from error
            with cluster:
                _check_job_script(cluster.job_script())
                with (
                    Client(cluster, security=credentials.security(), set_as_default=False) as client,
                    _watched(cluster, spec, name),
                ):
                    yield client
        finally:
            # dask-jobqueue does not know a job whose submission was interrupted
            subprocess.run(
                ["scancel", "--quiet", f"--name={name}", f"--user={getpass.getuser()}"],
                check=False,
                stderr=subprocess.DEVNULL,
            )


def _arguments(
    spec: SlurmCluster, name: str, environment: dict[str, str], security: Security
) -> dict[str, Any]:
    processes, margin = spec.processes or spec.cores, spec.margin_seconds()
    lifetime = spec.walltime_seconds() - margin
    return {
        # one thread per process; remaining cores only contribute their memory
        "cores": processes,
        "processes": processes,
        "job_cpu": spec.cores,
        "memory": spec.memory,
        "walltime": spec.walltime,
        "queue": spec.queue,
        "account": spec.account,
        "interface": spec.interface,
        "job_name": name,
        "job_extra_directives": spec.job_extra_directives,
        "job_script_prologue": [
            *(f"export {key}={value}" for key, value in (environment | _SETTINGS).items()),
            *spec.job_script_prologue,
        ],
        "python": spec.python or shlex.quote(sys.executable),
        "log_directory": spec.log_directory,
        # workers stop one after another, the last one `margin` before SLURM would kill it
        "worker_extra_args": [
            "--lifetime",
            f"{lifetime - margin // 2}s",
            "--lifetime-stagger",
            f"{margin // 2}s",
        ],
        "death_timeout": 60,  # seconds after which workers without a scheduler end
        "scheduler_options": {"dashboard": False, "dashboard_address": ":0"},
        "security": security,
    }


def _check_job_script(script: str) -> None:
    """Let SLURM check the job script; dask-jobqueue would only log an error and wait."""
    with NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        answer = subprocess.run(
            ["sbatch", "--test-only", file.name], capture_output=True, text=True, check=False
        )
    if answer.returncode:
        reason = " ".join(answer.stderr.replace("allocation failure:", "").split())
        raise ClusterError(
            f"SLURM refuses the jobs that the key cluster describes ({reason}); "
            "check its keys queue, account, cores, memory, walltime and job_extra_directives"
        )


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make Ctrl-C and SIGTERM run the ``finally`` clauses of this process, which cancel the jobs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        for number in before:  # a second signal would interrupt the cancelling
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _watched(cluster: Any, spec: SlurmCluster, name: str) -> Iterator[None]:
    """Start the jobs of ``cluster`` and keep their number constant until the context ends."""
    watch = _Watch(cluster, spec, name)

    def alarm(*_: object) -> None:
        if watch.error is not None:
            raise ClusterError(watch.error)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(_ALARM, alarm) if main else None
    if spec.minimum_jobs is None:
        cluster.scale(jobs=spec.jobs)
    else:
        cluster.adapt(minimum_jobs=spec.minimum_jobs, maximum_jobs=spec.jobs, interval="5s", wait_count=6)
    watch.start()
    try:
        yield
    except BaseException:
        # if the main thread was waiting for a lock, the error of the watch appears as an error of the lock
        if watch.error is not None:
            raise ClusterError(watch.error) from None
        raise
    finally:
        watch.end()
        if main:
            signal.signal(_ALARM, before)


class _Watch(threading.Thread):
    """Replaces jobs that SLURM has ended, and reports why there is no worker."""

    def __init__(self, cluster: Any, spec: SlurmCluster, name: str) -> None:
        super().__init__(daemon=True)
        self.error: str | None = None
        self._cluster, self._spec, self._name = cluster, spec, name
        self._ended = threading.Event()
        self._failed_attempts = 0
        self._last_report = time.monotonic()

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()
        self.join(timeout=30)

    def run(self) -> None:
        while not self._ended.wait(_QUEUE_CHECK):
            # list the jobs before the queue, so that a job submitted in between does not count as ended
            known = {name: job.job_id for name, job in self._cluster.workers.copy().items()}
            queue = self._queue()
            if queue is None or self._ended.is_set():
                continue
            observed = self._cluster.observed
            gone = {name for name, job in known.items() if job is not None and job not in queue}
            if observed:
                self._failed_attempts = 0
            if gone:
                self._replace(gone, observed)
            if self._failed_attempts >= _FAILED_ATTEMPTS:
                self.error = (
                    f"SLURM jobs ended {self._failed_attempts} times before a worker connected; their output "
                    f"is in {Path(self._spec.log_directory).resolve()}; check cluster.job_script_prologue, "
                    "cluster.python and cluster.interface"
                )
                interrupt_main(_ALARM)
                return
            self._report(queue, bool(observed))

    def _queue(self) -> dict[str, str] | None:
        """State and reason of our jobs in the queue of SLURM; None if SLURM does not answer."""
        answer = subprocess.run(
            ["squeue", "--noheader", f"--name={self._name}", "--format=%A %T %r"],
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            return None
        rows = [line.split(maxsplit=1) for line in answer.stdout.splitlines() if line.strip()]
        return {job: state for job, state in rows if not state.startswith("COMPLETING")}

    def _replace(self, gone: set[str], observed: set[str]) -> None:
        if not observed:
            self._failed_attempts += 1
        logger.info("%d SLURM jobs have ended; submitting new ones in their place", len(gone))
        cluster, spec = self._cluster, self._spec

        def forget() -> None:
            for name in gone:
                cluster.workers.pop(name, None)
                cluster.worker_spec.pop(name, None)
            if spec.minimum_jobs is None:
                cluster.scale(jobs=spec.jobs)

        cluster.loop.add_callback(forget)

    def _report(self, queue: dict[str, str], alive: bool) -> None:
        now = time.monotonic()
        if alive:
            self._last_report = now
        elif now - self._last_report >= _REPORT:
            self._last_report = now
            states = ", ".join(f"{count} {state}" for state, count in Counter(queue.values()).items())
            message = f"waiting for workers; our jobs in the queue of SLURM: {states or 'none'}"
            logger.warning("%s", message)
            print(f"phasepipe: {message}", file=sys.stderr, flush=True)
