"""Run the workflow of the package with Snakemake, in this process.

Profiles, settings of executors and arguments handed through are translated for Snakemake's Python API
(``snakemake.api.SnakemakeApi``) only by ``snakemake.cli``, in functions that are not public. Its entry point
:func:`snakemake.cli.main`, which takes the arguments of the command, is used instead: it changes least, and
all that Snakemake offers is available after ``--``.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from phasepipe.errors import SweepError
from phasepipe.execution.interruption import end_with_parent, end_workflow_on_signals, signal_received
from phasepipe.specification.configuration import packed
from phasepipe.specification.shipped import profile, rule_names, snakefile

_OURS = {  # options that would run something other than what was checked
    "--config": "NAME and --results",
    "-C": "NAME and --results",
    "--configfile": "FILE",
    "--configfiles": "FILE",
    "--snakefile": "snakemake itself",
    "-s": "snakemake itself",
}
_CORES = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True)
class WorkflowRun:
    """What the workflow is asked to do; a mistake raises :class:`~phasepipe.errors.SweepError` at once.

    Attributes
    ----------
    files
        Configuration files.
    sweep
        Name of the sweep.
    results
        Folder of the results; None for the key ``results``.
    cores
        A number, ``"all"``, or None for what the profile says.
    profile
        Name of a profile of the package, or path of one.
    until
        Name of the last rule to run.
    dry_run
        Only say what would be done.
    further
        Arguments that are handed to Snakemake.
    """

    files: Sequence[Path]
    sweep: str
    results: Path | None = None
    cores: str | None = None
    profile: str = "local"
    until: str | None = None
    dry_run: bool = False
    further: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.cores not in (None, "all") and not _CORES.fullmatch(self.cores):
            raise SweepError(f"--cores {self.cores} is not valid; give a number from 1, or all")
        profile(self.profile)
        if self.profile == "slurm" and find_spec("snakemake_executor_plugin_slurm") is None:
            raise SweepError(
                "--profile slurm needs more packages; install them with: pip install 'phasepipe[slurm]'"
            )
        if self.until is not None and self.until not in rule_names():
            raise SweepError(
                f"--until {self.until}: there is no such rule; the rules are {', '.join(rule_names())}"
            )
        for word in self.further:
            option = word.partition("=")[0]
            if option in _OURS:
                raise SweepError(f"{option} cannot be handed to Snakemake; use {_OURS[option]} instead")
        if not os.access(".", os.W_OK | os.X_OK):
            raise SweepError(
                f"the current folder {Path.cwd()} cannot be written, and Snakemake keeps its records there; "
                "start in a folder of your own"
            )

    def arguments(self) -> list[str]:
        """The arguments of the command ``snakemake``."""
        asked = [
            "--snakefile",
            str(snakefile()),
            "--configfile",
            *(str(file.absolute()) for file in self.files),
        ]
        results = {} if self.results is None else {"results": str(self.results)}
        asked += ["--config", packed({"sweep": self.sweep, **results})]
        for option, value in (("--cores", self.cores), ("--until", self.until)):
            asked += [] if value is None else [option, value]
        asked += ["--dry-run"] if self.dry_run else []
        # last, because it takes exactly one value: what follows may be a target
        return [*asked, "--workflow-profile", str(profile(self.profile)), *self.further]


def run_workflow(run: WorkflowRun) -> None:
    """Run Snakemake in this process, and return if it succeeds.

    Raises
    ------
    SystemExit
        If it does not; after Ctrl-C or SIGTERM with 128 plus the number of the signal, as shells count it.
    SweepError
        If a stage has failed; Snakemake has printed the reason.
    """
    end_workflow_on_signals()
    end_with_parent()
    try:
        from snakemake.cli import main

        try:
            main(run.arguments())
        finally:
            _cancel_timers()
    except KeyboardInterrupt:
        pass  # signal_received() tells which
    except SystemExit as end:
        if signal_received() is None and end.code == 1:
            raise SweepError(
                f"sweep {run.sweep!r} is not complete, for the reason given above; finished blocks are "
                "stored, and the same command computes the others"
            ) from None
        if signal_received() is None and end.code:
            raise
    number = signal_received()
    if number is not None:
        sys.exit(128 + number)


def _cancel_timers() -> None:
    """Let this process end: Snakemake leaves a timer of a second behind, for its next look at the jobs."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()
