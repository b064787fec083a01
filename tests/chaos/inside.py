"""What runs inside the forked processes: the stages and commands of the package, nothing of the harness."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any


def nothing() -> None:
    """Does nothing; its process starts the server of all others."""


def run(target: Callable[..., None], output: Path, root: Path, *arguments: Any) -> None:
    """Call ``target`` in the folder ``root``, everything it prints going to ``output``."""
    os.setsid()
    # ignored in a background job; until the target listens, Ctrl-C just ends an interpreter that is starting
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    target(*arguments)


def compute(cluster: dict[str, Any] | None = None, poisoned: str | None = None) -> None:
    """All stages up to the table of success, as the scripts of the workflow call them."""
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
    """Compute a block; the one of this label ends its worker as the kernel does when memory runs out."""
    from phasepipe.stages.runs import _compute

    if arguments[-1].label == label:
        os.kill(os.getpid(), signal.SIGKILL)
    return _compute(*arguments)


def phasepipe(*arguments: str) -> None:
    """The command line of the package."""
    from phasepipe.cli import main

    sys.argv = ["phasepipe", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
