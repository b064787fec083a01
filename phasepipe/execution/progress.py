"""Progress of a stage: a bar in a terminal, plain lines in the log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from phasepipe.execution.cluster import logger

_INTERVAL = 5.0  # seconds between log lines


class Reporter:
    """Shows the number of finished entries, the remaining time, and counts such as outcomes."""

    def __init__(self, title: str, total: int, bar: Progress) -> None:
        self.title, self.total, self.done = title, total, 0
        self.tally: Counter[str] = Counter()
        self._bar = bar
        self._task = bar.add_task(title, total=total, tally="")
        self._start = self._last = time.monotonic()

    def advance(self, count: int, tally: Mapping[str, int]) -> None:
        """Add ``count`` finished entries, and ``tally``, their counts by name."""
        self.done += count
        self.tally.update(tally)
        shown = "  ".join(f"{name} {number}" for name, number in sorted(self.tally.items()))
        self._bar.update(self._task, completed=self.done, tally=shown)
        now = time.monotonic()
        if now - self._last >= _INTERVAL or self.done >= self.total:
            self._last = now
            left = (now - self._start) * (self.total - self.done) / max(self.done, 1)
            logger.info("%s: %d / %d done, %.0f s left, %s", self.title, self.done, self.total, left, shown)


@contextmanager
def reporting(title: str, total: int) -> Iterator[Reporter]:
    """Show the progress of ``total`` entries under ``title`` while the context is open."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[tally]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        yield Reporter(title, total, bar)
