"""Functions that run in the forked processes: the stages and commands of the package."""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
import time
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


def compute(
    cluster: dict[str, Any] | None = None,
    poisoned: str | None = None,
    failing: tuple[float, int] | None = None,
) -> None:
    """Run all stages up to the table of success, as the scripts of the workflow do.

    ``poisoned`` is the label of a block that kills its worker, ``failing`` the share of file operations that
    fail and a seed.
    """
    from phasepipe.execution.job import one_sentence
    from phasepipe.stages import runs
    from phasepipe.stages.success import estimate_success
    from phasepipe.store.folder import SweepFolder
    from tests.chaos.place import read_sweep

    if poisoned is not None:
        runs._compute = partial(poison, poisoned)
    if failing is not None:
        runs._compute = partial(fail_and_compute, *failing)
        fail_at_random(*failing)
    log = Path("log")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with one_sentence(log):
        sweep = read_sweep(**({"cluster": cluster} if cluster else {}))
        folder = SweepFolder(Path("results") / sweep.name)
        runs.run_descent(sweep, folder, 2, log)
        estimate_success(sweep, folder, log)


def poison(label: str, *arguments: Any) -> Any:
    """Compute a block; the block ``label`` kills its worker, as the kernel does when memory runs out."""
    from phasepipe.stages.runs import _compute

    if arguments[-1].label == label:
        os.kill(os.getpid(), signal.SIGKILL)
    return _compute(*arguments)


def fail_and_compute(share: float, seed: int, *arguments: Any) -> Any:
    """Compute a block on a worker whose file operations fail now and then."""
    from phasepipe.stages.runs import _compute

    fail_at_random(share, seed + os.getpid())
    return _compute(*arguments)


_ERRORS = (errno.EIO, errno.ESTALE, errno.EDQUOT, errno.ENOSPC)
_OPERATIONS = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.listdir", "os.scandir"}
_failing = False


def fail_at_random(share: float, seed: int) -> None:
    """Let a share of the file operations of this process below the folder of results fail."""
    global _failing
    if _failing:  # a hook cannot be removed, and one is enough
        return
    _failing, source = True, random.Random(seed)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _OPERATIONS and "results/chaos" in str(arguments[0]) and source.random() < share:
            number = source.choice(_ERRORS)
            raise OSError(number, os.strerror(number), str(arguments[0]))

    sys.addaudithook(hook)


def finish() -> None:
    """Write all tables, figures and the report of a computed sweep."""
    from phasepipe.execution.job import one_sentence
    from phasepipe.report.page import write_report
    from phasepipe.stages.analysis import analyse_runs
    from phasepipe.stages.fate import relate_fates
    from phasepipe.stages.scaling import study_scaling
    from phasepipe.stages.theory import predict_thresholds
    from phasepipe.store.folder import SweepFolder
    from tests.chaos.place import read_sweep

    log = Path("log")
    with one_sentence(log):
        sweep = read_sweep()
        folder = SweepFolder(Path("results") / sweep.name)
        if not folder.table("theory").exists():
            predict_thresholds(sweep, folder, log)
        analyse_runs(sweep, folder, log)
        relate_fates(sweep, folder, log)
        study_scaling(sweep, folder, log)
        write_report(sweep, folder, log)


def open_all(folder: str) -> None:
    """Open a folder and read everything in it."""
    from phasepipe.results.tree import open_sweep

    open_sweep(folder).load()


def read_again(folder: str, stop: str) -> None:
    """Open a sweep that others compute, again and again until the file ``stop`` is there.

    Every run marked as done must have its values in each reading, and may not be gone in the next.
    """
    from phasepipe.results.tree import open_sweep

    while not list(Path(folder).glob("runs/N*.zarr/zarr.json")):  # a sweep that begins
        time.sleep(0.05)
    readings, most = 0, 0
    while not Path(stop).exists() or not readings:
        for name, node in open_sweep(folder)["runs"].children.items():
            data = node.to_dataset()[["status", "outcome", "end_time"]].load()
            done = data["status"] == 1
            if (done & ((data["outcome"] == 0) | data["end_time"].isnull())).any():
                sys.exit(f"{name}: a run that is done has no values")
            if int(done.sum()) < most:
                sys.exit(f"{name}: runs that were there are gone")
            most = int(done.sum())
        readings += 1
        time.sleep(0.05)


def phasepipe(*arguments: str) -> None:
    """Run the command line of the package."""
    from phasepipe.cli import main

    sys.argv = ["phasepipe", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
