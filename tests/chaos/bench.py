"""A project folder during a fault: its commands, the blocks that they must not lose, and their problems."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tests.chaos import inside
from tests.chaos.commands import Command, Forked, Workflow
from tests.chaos.place import Place, Tmpfs

_POLL = 0.003
_STAGES_LAST = 8.0  # seconds after which a command is disturbed even if it has stored nothing new


class HangError(Exception):
    """A command did not end in time."""


class Bench:
    """A project folder, the commands that run in it, and a record of what happened.

    Attributes
    ----------
    kept
        Blocks stored before a fault, which must stay, and when they were written.
    complaints
        Unexpected events.
    tracebacks
        Outputs of commands that contain a traceback.
    """

    def __init__(self, place: Place, through: str, rng: np.random.Generator, patience: float) -> None:
        self.place, self.through, self.rng, self.patience = place, through, rng, patience
        self.kept: dict[str, float] = {}
        self.complaints: list[str] = []
        self.tracebacks: list[str] = []
        self.outputs: list[str] = []
        self._damaged: set[str] = set()
        self._running: list[Command] = []

    def start(
        self,
        cluster: dict[str, Any] | None = None,
        poisoned: str | None = None,
        failing: tuple[float, int] | None = None,
        wrap: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        """Start the command; the first three arguments are for stages only, the others for the workflow."""
        command: Command
        if self.through == "workflow":
            command = Workflow(self.place, wrap=wrap, environment=environment or {})
        else:
            command = Forked(self.place, inside.compute, cluster, poisoned, failing)
        self._running.append(command)
        return command

    def verify(self) -> None:
        """Run ``phasepipe verify`` on the results."""
        self.ended(
            Forked(self.place, inside.phasepipe, "verify", str(self.place.folder.root), "--sample", "0")
        )

    def some_way(self, command: Command) -> None:
        """Wait until the command has stored a random number of blocks, or until a random time has passed."""
        start, before = time.monotonic(), len(self.place.blocks())
        more = int(self.rng.integers(0, max(2, 48 - before)))
        latest = float(self.rng.uniform(0.2, 1)) * _STAGES_LAST * (5 if self.through == "workflow" else 1)
        while len(self.place.blocks()) < before + more and time.monotonic() - start < latest:
            if command.wait(_POLL) is not None:
                break
        time.sleep(float(self.rng.uniform(0, 0.05)))
        self.keep()

    def keep(self) -> None:
        """Remember which blocks are stored now."""
        self.kept |= self.place.blocks()

    def ended(self, command: Command, well: bool = False) -> int | None:
        """Wait for a command and return its exit code; with ``well`` it must be 0."""
        self.keep()
        code = command.wait(self.patience)
        output = command.output()
        self.outputs.append(f"exit code {code}\n{output}")
        if code is None:
            command.end()
            raise HangError(f"no end after {self.patience:.0f} s")
        if "Traceback (most recent call last)" in output:
            self.tracebacks.append(output)
        self.expect(not well or code == 0, f"exit code {code}")
        return code

    def expect(self, what: bool, complaint: str) -> None:
        """Record ``complaint`` unless ``what`` holds."""
        if not what:
            self.complaints.append(complaint)

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait until ``reached`` returns True; ``what`` names this in the error."""
        end = time.monotonic() + self.patience
        while not reached():
            if time.monotonic() > end:
                raise HangError(f"no {what} after {self.patience:.0f} s")
            time.sleep(_POLL)

    def damaged(self, file: Path, changed: slice) -> None:
        """Record which bytes are about to be damaged, so that their blocks may be computed again."""
        self.keep()
        self._damaged |= self.place.blocks_at(file, changed)

    def move_results(self, target: Path) -> None:
        """Move the results to another file system, with a link in their place."""
        self.keep()
        self._move(self.place.results, target)
        self.place.results.symlink_to(target)

    def forget_results(self) -> None:
        """Remove the link to the results on another file system."""
        self.place.results.unlink()

    @contextmanager
    def own_disk(self) -> Iterator[Tmpfs]:
        """Move the results to a separate file system while the context is open."""
        disk = Tmpfs(self.place.root / "disk")
        self.move_results(disk.folder / "results")
        try:
            yield disk
        finally:
            disk.remount("rw,size=64m")
            self.forget_results()
            self._move(disk.folder / "results", self.place.results)
            disk.close()

    @staticmethod
    def _move(source: Path, target: Path) -> None:
        shutil.copytree(source, target)
        shutil.rmtree(source)

    def lost(self) -> int:
        """Number of blocks that were stored before a fault and were computed again."""
        now = self.place.blocks()
        return sum(
            now.get(block) != written for block, written in self.kept.items() if block not in self._damaged
        )

    def close(self) -> None:
        """End all running commands and remove the folder."""
        for command in self._running:
            command.end()
        self.place.remove()
