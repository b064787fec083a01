"""What a kind of fault is, and helpers that several kinds share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos.bench import Bench

STORED = "finished blocks are kept; the error is one sentence"


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes
    ----------
    name
        Name in the tables.
    inject
        Function that causes the fault.
    happens, cure
        Consequence and remedy for the user, in the table of the page.
    verified
        Whether ``phasepipe verify`` runs before the command, because only it may find the damage.
    workflow, stages
        Commands to which the fault applies.
    workers
        Whether it needs worker processes.
    weight
        Relative frequency.
    """

    name: str
    inject: Callable[[Bench], None]
    happens: str
    cure: str = "the same command"
    verified: bool = False
    workflow: bool = True
    stages: bool = True
    workers: bool = False
    weight: float = 1.0


def kill(process: psutil.Process) -> None:
    """Kill a process that may have ended."""
    with suppress(psutil.NoSuchProcess):
        process.kill()
