"""Faults of commands: stopped and continued, killed again and again, killed while they do other things."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from tests.chaos import inside
from tests.chaos.bench import Bench
from tests.chaos.commands import Command, Forked
from tests.chaos.kind import STORED, Kind

_LONGEST_STOP = 6.0  # seconds
_READERS = 8


def _roles(command: Command) -> dict[str, list[int]]:
    """Processes of a command by their role."""
    workers = [worker.pid for worker in command.workers()]
    script = command.script()
    found = {"a worker": workers[:1], "all workers": workers, "the workflow": [command.pid]}
    return found | {"the script": [] if script is None else [script]}


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def stop_and_continue(bench: Bench) -> None:
    """Stop a process for seconds, as a laptop that sleeps or a batch system that suspends a job."""
    command = bench.start()
    bench.some_way(command)
    roles = _roles(command)
    stopped = roles[str(bench.rng.choice(sorted(roles)))]
    _signal(stopped, signal.SIGSTOP)
    time.sleep(float(bench.rng.uniform(0.2, _LONGEST_STOP)))
    _signal(stopped, signal.SIGCONT)
    bench.ended(command, well=True)


def stop_and_start_another(bench: Bench) -> None:
    """A stopped process still holds its locks: another command must neither wait for ever nor write."""
    first = bench.start()
    bench.some_way(first)
    if first.wait(0) is not None:
        return
    stopped = [pid for pids in _roles(first).values() for pid in pids]
    _signal(stopped, signal.SIGSTOP)
    second = bench.start()
    code = bench.ended(second)
    bench.expect(code == 1 and "is being written by" in second.output(), "the second command did not refuse")
    _signal(stopped, signal.SIGCONT)
    bench.ended(first, well=True)


def kill_recoveries(bench: Bench) -> None:
    """Kill the command, and the commands that recover from it, at random moments."""
    for _ in range(int(bench.rng.integers(2, 6))):
        command = bench.start()
        if bench.rng.random() < 0.5:
            bench.some_way(command)
        else:
            command.wait(float(bench.rng.uniform(0, 1.5)))
        bench.keep()
        victims = [command.pid, *(worker.pid for worker in command.workers())]
        _signal(victims if bench.rng.random() < 0.5 else victims[:1], signal.SIGKILL)
        bench.ended(command)


def _killed_while(*arguments: str, after: Callable[[Bench], None] | None = None) -> Callable[[Bench], None]:
    """A fault that kills a command of the package several times, and then lets it end."""

    def inject(bench: Bench) -> None:
        bench.ended(bench.start(), well=True)
        for longest in (0.3, 1.0, 3.0):
            command = Forked(bench.place, inside.phasepipe, *arguments)
            command.wait(float(bench.rng.uniform(0, longest)))
            _signal([command.pid], signal.SIGKILL)
            bench.ended(command)
        # an export that was finished before the kill would be in the way
        shutil.rmtree(bench.place.root / "export", ignore_errors=True)
        bench.ended(Forked(bench.place, inside.phasepipe, *arguments), well=True)
        if after is not None:
            after(bench)

    return inject


def _opens(name: str) -> Callable[[Bench], None]:
    """Check that a folder can be opened and holds nothing that a killed process left."""

    def check(bench: Bench) -> None:
        opened = Forked(bench.place, inside.open_all, name)
        bench.ended(opened, well=True)
        _nothing_left(bench)

    return check


def _nothing_left(bench: Bench) -> None:
    left = [path.name for path in bench.place.root.rglob(".*.*-*-*") if ".snakemake" not in path.parts]
    bench.expect(not left, f"left behind: {', '.join(left[:3])}")


def kill_with_readers(bench: Bench) -> None:
    """Kill the command twice while eight processes read the sweep, and let it end."""
    bench.keep()
    stop = bench.place.root / "stop"
    readers = [
        Forked(bench.place, inside.read_again, str(bench.place.folder.root), str(stop))
        for _ in range(_READERS)
    ]
    try:
        for _ in range(2):
            command = bench.start()
            bench.some_way(command)
            _signal([command.pid, *(worker.pid for worker in command.workers())], signal.SIGKILL)
            bench.ended(command)
        bench.ended(bench.start(), well=True)
    finally:
        stop.touch()
    for reader in readers:
        bench.ended(reader, well=True)
    stop.unlink()


def kill_report(bench: Bench) -> None:
    """Kill the stages that write tables, figures and the report."""
    bench.ended(bench.start(), well=True)
    for longest in (0.5, 3.0, 12.0):
        command = Forked(bench.place, inside.finish)
        command.wait(float(bench.rng.uniform(0, longest)))
        _signal([command.pid], signal.SIGKILL)
        bench.ended(command)
    bench.ended(Forked(bench.place, inside.finish), well=True)
    page = bench.place.folder.root / "report.html"
    bench.expect(page.read_text().rstrip().endswith("</html>"), "the report is not whole")
    _nothing_left(bench)


def _cut_while_verifying(bench: Bench) -> None:
    """Damage a chunk, kill verify while it repairs, and verify again."""
    chunks = sorted(bench.place.folder.root.glob("runs/N*.zarr/overlap/c/**/*"))
    file = chunks[int(bench.rng.integers(len(chunks)))]
    while not file.is_file():
        file = chunks[int(bench.rng.integers(len(chunks)))]
    bench.damaged(file, slice(0, file.stat().st_size))
    file.unlink()
    for longest in (0.3, 1.0, 2.0):
        command = Forked(bench.place, inside.phasepipe, "verify", "results/chaos", "--sample", "1")
        command.wait(float(bench.rng.uniform(0, longest)))
        _signal([command.pid], signal.SIGKILL)
        bench.ended(command)
    bench.verify()


_AGAIN = "the same command"
KINDS = [
    Kind(
        "process stopped for seconds (SIGSTOP)",
        stop_and_continue,
        "the others wait for it",
        "nothing",
        weight=2,
    ),
    Kind(
        "process stopped, another command started",
        stop_and_start_another,
        "the other command ends with one sentence",
        "nothing",
    ),
    Kind("recovery killed, several times", kill_recoveries, STORED, weight=2),
    Kind("killed while eight others read", kill_with_readers, "readers see whole runs at any time", weight=2),
    Kind(
        "verify killed",
        _cut_while_verifying,
        "a block is marked as pending or not yet",
        "phasepipe verify, then the same command",
        verified=True,
    ),
    Kind(
        "refine killed",
        _killed_while("refine", "--budget", "1"),
        "the proposal is written whole or not at all",
        _AGAIN,
        workflow=False,
    ),
    Kind(
        "reduce killed",
        _killed_while("reduce", "results/chaos", "--to", "reduced", after=_opens("reduced/chaos")),
        "tables of two reductions are refused",
        _AGAIN,
        workflow=False,
    ),
    Kind(
        "export killed",
        _killed_while("export", "results/chaos", "--to", "netcdf", "--output", "export", after=_nothing_left),
        "the folder appears whole or not at all",
        _AGAIN,
        workflow=False,
    ),
    Kind(
        "tables, figures and report killed",
        kill_report,
        "the old ones stay until new ones replace them",
        workflow=False,
    ),
]
