"""Functions that run in the forked processes: the stages and commands of the package."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def nothing() -> None:
    """Do nothing; the process that calls this starts the server from which all others are forked."""


def run(target: Callable[..., None], output: Path, root: Path, *arguments: Any) -> None:
    """Call ``target`` in the folder ``root`` and write everything it prints to ``output``."""
    os.setsid()
    # background jobs ignore Ctrl-C; until the target handles it, it just ends the starting interpreter
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    target(*arguments)


def compute(cluster: dict[str, Any] | None = None, poisoned: str | None = None) -> None:
    """Run all stages up to the table of success, as the scripts of the workflow do."""
    from phasepipe.execution.job import one_sentence
    from phasepipe.stages import runs
    from phasepipe.stages.success import estimate_success
    from phasepipe.store.folder import SweepFolder
    from tests.chaos.place import make_sweep

    if poisoned is not None:
        runs._compute = partial(poison, poisoned)
    log = Path("log")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with one_sentence(log):
        sweep = make_sweep(cluster=cluster or {"kind": "local", "workers": 2})
        folder = SweepFolder(Path("results") / sweep.name)
        runs.run_descent(sweep, folder, 2, log)
        estimate_success(sweep, folder, log)


def poison(label: str, *arguments: Any) -> Any:
    """Compute a block; the block ``label`` kills its worker, as the kernel does when memory runs out."""
    from phasepipe.stages.runs import _compute

    if arguments[-1].label == label:
        os.kill(os.getpid(), signal.SIGKILL)
    return _compute(*arguments)


def phasepipe(*arguments: str) -> None:
    """Run the command line of the package."""
    from phasepipe.cli import main

    sys.argv = ["phasepipe", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
