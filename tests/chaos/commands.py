"""Processes of the commands that are disturbed: the stages, the workflow, and ``phasepipe verify``.

The stages and their Dask workers are forked from a process that has already imported the libraries, so that a
fault takes only seconds. The workflow is started like by a user.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import psutil

from tests.chaos import inside
from tests.chaos.place import ROOT, Place

_PRELOADED = [
    "tests.chaos.inside",
    "distributed",
    "phasepipe.stages.runs",
    "phasepipe.stages.instances",
    "phasepipe.stages.success",
    "phasepipe.results.verify",
    "phasepipe.results.reduce",
    "phasepipe.results.export",
    "phasepipe.results.refine",
    "phasepipe.stages.success_figures",
]


_NONE: Mapping[str, str] = {}


class Command(Protocol):
    """A running command."""

    pid: int

    def wait(self, patience: float) -> int | None:
        """Exit code, or None if the command still runs after ``patience`` seconds."""

    def output(self) -> str:
        """Everything that the command has printed."""

    def workers(self) -> list[psutil.Process]:
        """Processes of the Dask workers."""

    def script(self) -> int | None:
        """Process id of the script with the Dask scheduler, or None if it does not run."""

    def end(self) -> None:
        """Kill all its remaining processes."""


def warm_up() -> None:
    """Start the process from which the others are forked; call this first."""
    os.environ["DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD"] = "forkserver"
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=inside.nothing)
    process.start()
    process.join()


class Forked:
    """A function of :mod:`tests.chaos.inside` in a separate process."""

    _known: ClassVar[set[int]] = set()

    def __init__(self, place: Place, target: Callable[..., None], *arguments: Any) -> None:
        self._output = place.root / f"output-{time.monotonic_ns()}"
        self._server = _server()
        self._process = multiprocessing.get_context("forkserver").Process(
            target=inside.run, args=(target, self._output, place.root, *arguments)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self._known.add(self.pid)

    def wait(self, patience: float) -> int | None:
        self._process.join(patience)
        return self._process.exitcode

    def output(self) -> str:
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def workers(self) -> list[psutil.Process]:
        return [child for child in self._server.children() if child.pid not in self._known]

    def script(self) -> int | None:
        return self.pid

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def _server() -> psutil.Process:
    """The process from which the others are forked."""
    from multiprocessing.forkserver import _forkserver  # there is no public access to its process id

    return psutil.Process(_forkserver._forkserver_pid)


class Workflow:
    """Snakemake with the local profile of the project, up to the table of success."""

    def __init__(
        self, place: Place, wrap: Sequence[str] = (), environment: Mapping[str, str] = _NONE
    ) -> None:
        self._output = place.root / f"output-{time.monotonic_ns()}"
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("DASK_")}
        profile = ["--workflow-profile", "workflow/profiles/local", "--cores", "2"]
        target = "results/chaos/success.done"
        with self._output.open("w") as file:
            self._process = subprocess.Popen(
                [*wrap, sys.executable, "-m", "snakemake", *profile, target],
                cwd=place.root,
                env=inherited | {"PYTHONPATH": path} | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # a background process ignores SIGINT, and its children would inherit this
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        self.pid = self._process.pid

    def wait(self, patience: float) -> int | None:
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def _session(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found

    def _with(self, word: str) -> list[psutil.Process]:
        found = []
        for process in self._session():
            try:
                if any(word in part for part in process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def workers(self) -> list[psutil.Process]:
        found = self._with("multiprocessing.forkserver")
        servers = {process.pid for process in found}
        return [process for process in found if process.ppid() in servers]

    def script(self) -> int | None:
        scripts = [process.pid for process in self._with(".snakemake/scripts") if process.name() != "sh"]
        return scripts[-1] if scripts else None

    def left(self) -> list[psutil.Process]:
        """Processes that still run after the command has ended."""
        return [process for process in self._session() if process.pid != self.pid]

    def end(self) -> None:
        for process in self._session():
            process.kill()
        self._process.wait()
