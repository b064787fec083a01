"""Dask workers as SLURM jobs: submitted, replaced when they end, watched while they wait, never left behind.

dask-jobqueue submits and cancels; what it does not do is here: it is told by SLURM itself which jobs are gone
(a job of several processes is otherwise never replaced), and nobody waits in silence.
"""

from __future__ import annotations

import getpass
import logging
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
from phasepipe.specification.cluster import SlurmCluster

logger = logging.getLogger("phasepipe")

_LOOK = 5.0  # seconds between two looks at the queue
_TELL = 60.0  # seconds between two messages while no worker is there
_FRUITLESS = 3  # times in a row that jobs end before a worker connects; jobs that end together count once
_ALARM = signal.SIGUSR2


@contextmanager
def slurm_client(
    spec: SlurmCluster, environment: dict[str, str], security: Security | None
) -> Iterator[Client]:
    """A client of workers in SLURM jobs; the jobs are cancelled at the end, whatever ends it.

    Parameters
    ----------
    spec
        The jobs.
    environment
        Variables of the worker processes.
    security
        TLS, or None.

    Raises
    ------
    ClusterError
        If SLURM refuses the job, or if jobs end again and again before a worker connects.
    """
    for command in ("sbatch", "squeue", "scancel"):
        if shutil.which(command) is None:
            raise ClusterError(
                f"cluster.kind = slurm needs the command {command}, which is not on the PATH; "
                "run on a login node of the cluster or take cluster.kind = local"
            )
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError:
        raise ClusterError(
            "cluster.kind = slurm needs dask-jobqueue: pip install 'phasepipe[slurm]'"
        ) from None
    name = f"phasepipe-{uuid.uuid4().hex[:8]}"
    with _ended_politely():
        try:
            try:
                cluster = SLURMCluster(**_arguments(spec, name, environment, security))
            except (ValueError, RuntimeError, OSError) as error:
                reason = " ".join(str(error).split())
                raise ClusterError(f"the Dask scheduler for SLURM jobs does not start: {reason}") from error
            with cluster:
                _ask_slurm(cluster.job_script())
                with (
                    Client(cluster, security=security, set_as_default=False) as client,
                    _watched(cluster, spec, name),
                ):
                    yield client
        finally:
            # a job whose submission was under way is unknown to dask-jobqueue
            subprocess.run(
                ["scancel", "--quiet", f"--name={name}", f"--user={getpass.getuser()}"],
                check=False,
                stderr=subprocess.DEVNULL,
            )


def _arguments(
    spec: SlurmCluster, name: str, environment: dict[str, str], security: Security | None
) -> dict[str, Any]:
    processes, margin = spec.processes or spec.cores, spec.margin_seconds()
    lifetime = spec.walltime_seconds() - margin
    return {
        # one thread per process: the cores left over lend their memory
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
            *(f"export {key}={value}" for key, value in environment.items()),
            *spec.job_script_prologue,
        ],
        "python": spec.python or sys.executable,
        "log_directory": spec.log_directory,
        # workers leave one after another, the last of them `margin` before SLURM would kill it
        "worker_extra_args": [
            "--lifetime",
            f"{lifetime - margin // 2}s",
            "--lifetime-stagger",
            f"{margin // 2}s",
        ],
        "death_timeout": 60,  # workers whose scheduler is gone
        "scheduler_options": {"dashboard": False, "dashboard_address": ":0"},
        "security": security,
    }


def _ask_slurm(script: str) -> None:
    """Let SLURM judge the job script; dask-jobqueue would only log the refusal, and wait."""
    with NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        asked = subprocess.run(
            ["sbatch", "--test-only", file.name], capture_output=True, text=True, check=False
        )
    if asked.returncode:
        reason = " ".join(asked.stderr.replace("allocation failure:", "").split())
        raise ClusterError(
            f"SLURM refuses the jobs of the key cluster ({reason}); "
            "see its keys queue, account, cores, memory, walltime and job_extra_directives"
        )


@contextmanager
def _ended_politely() -> Iterator[None]:
    """Ctrl-C and a kill (SIGTERM) end this process through its ``finally`` clauses, which cancel the jobs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: object) -> None:
        for number in before:  # a second one would cut the cancelling short
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
    """Scale ``cluster`` and keep it so, until the block ends."""
    watch = _Watch(cluster, spec, name)

    def alarm(*_: object) -> None:
        if watch.verdict is not None:
            raise ClusterError(watch.verdict)

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
        # raised while a lock was being waited for, the verdict may come disguised as an error of the lock
        if watch.verdict is not None:
            raise ClusterError(watch.verdict) from None
        raise
    finally:
        watch.end()
        if main:
            signal.signal(_ALARM, before)


class _Watch(threading.Thread):
    """Replaces jobs that SLURM ended, and tells why there is no worker."""

    def __init__(self, cluster: Any, spec: SlurmCluster, name: str) -> None:
        super().__init__(daemon=True)
        self.verdict: str | None = None
        self._cluster, self._spec, self._name = cluster, spec, name
        self._over = threading.Event()
        self._fruitless = 0
        self._told = time.monotonic()

    def end(self) -> None:
        """Stop watching."""
        self._over.set()
        self.join(timeout=30)

    def run(self) -> None:
        while not self._over.wait(_LOOK):
            # before the look at the queue: what is submitted meanwhile must not count as gone
            known = {name: job.job_id for name, job in self._cluster.workers.copy().items()}
            queue = self._queue()
            if queue is None or self._over.is_set():
                continue
            observed = self._cluster.observed
            gone = {name for name, job in known.items() if job is not None and job not in queue}
            if observed:
                self._fruitless = 0
            if gone:
                self._replace(gone, observed)
            if self._fruitless >= _FRUITLESS:
                self.verdict = (
                    f"SLURM jobs ended {self._fruitless} times before a worker connected; their output is in "
                    f"{Path(self._spec.log_directory).resolve()}; see cluster.job_script_prologue, "
                    "cluster.python and cluster.interface"
                )
                interrupt_main(_ALARM)
                return
            self._tell(queue, bool(observed))

    def _queue(self) -> dict[str, str] | None:
        """State and reason of our jobs in SLURM's queue; None if it does not answer now."""
        asked = subprocess.run(
            ["squeue", "--noheader", f"--name={self._name}", "--format=%A %T %r"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode:
            return None
        rows = [line.split(maxsplit=1) for line in asked.stdout.splitlines() if line.strip()]
        return {job: state for job, state in rows if not state.startswith("COMPLETING")}

    def _replace(self, gone: set[str], observed: set[str]) -> None:
        if not observed:
            self._fruitless += 1
        logger.info("%d SLURM jobs have ended; new ones take their place", len(gone))
        cluster, spec = self._cluster, self._spec

        def forget() -> None:
            for name in gone:
                cluster.workers.pop(name, None)
                cluster.worker_spec.pop(name, None)
            if spec.minimum_jobs is None:
                cluster.scale(jobs=spec.jobs)

        cluster.loop.add_callback(forget)

    def _tell(self, queue: dict[str, str], alive: bool) -> None:
        now = time.monotonic()
        if alive:
            self._told = now
        elif now - self._told >= _TELL:
            self._told = now
            states = ", ".join(f"{count} {state}" for state, count in Counter(queue.values()).items())
            message = f"no worker yet; SLURM's queue: {states or 'no job of ours'}; waiting"
            logger.warning("%s", message)
            print(f"phasepipe: {message}", file=sys.stderr, flush=True)
