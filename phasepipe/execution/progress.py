"""Progress of a stage: a bar in a terminal or a notebook, plain lines in the log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from phasepipe.execution.cluster import logger

_INTERVAL = 5.0  # seconds between log lines
_REDRAW = 0.2  # seconds between states of a bar in a notebook


class Bar(Protocol):
    """Where progress is shown."""

    def update(self, done: int, tally: str) -> None:
        """Show the number of finished entries, and counts of them as text."""


class Reporter:
    """Shows the number of finished entries, the remaining time, and counts such as outcomes."""

    def __init__(self, title: str, total: int, bar: Bar) -> None:
        self.title, self.total, self.done = title, total, 0
        self.tally: Counter[str] = Counter()
        self._bar = bar
        self._start = self._last = time.monotonic()

    def advance(self, count: int, tally: Mapping[str, int]) -> None:
        """Add ``count`` finished entries, and ``tally``, their counts by name."""
        self.done += count
        self.tally.update(tally)
        shown = "  ".join(f"{name} {number}" for name, number in sorted(self.tally.items()))
        self._bar.update(self.done, shown)
        now = time.monotonic()
        if now - self._last >= _INTERVAL or self.done >= self.total:
            self._last = now
            left = (now - self._start) * (self.total - self.done) / max(self.done, 1)
            logger.info("%s: %d / %d done, %.0f s left, %s", self.title, self.done, self.total, left, shown)


@contextmanager
def reporting(title: str, total: int) -> Iterator[Reporter]:
    """Show the progress of ``total`` entries under ``title`` while the context is open."""
    console = Console(stderr=True)
    if console.is_jupyter:
        yield Reporter(title, total, NotebookBar(title, total))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[tally]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Reporter(title, total, _TerminalBar(progress, title, total))


class _TerminalBar:
    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, tally="")

    def update(self, done: int, tally: str) -> None:
        self._progress.update(self._task, completed=done, tally=tally)


class NotebookBar:
    """A bar in the output of a notebook cell.

    The bars of rich and tqdm need the package ipywidgets and a frontend that knows it, and leave nothing in a
    stored notebook. IPython's display handle does without, and its last state is stored.
    """

    def __init__(self, title: str, total: int) -> None:
        from IPython.display import display  # there is one wherever a notebook is

        self._title, self._total = title, total
        self._start = self._shown = time.monotonic()
        self._handle = display(self._state(0, ""), display_id=True)

    def update(self, done: int, tally: str) -> None:
        """Show ``done`` finished entries, at most a few times a second."""
        now = time.monotonic()
        if now - self._shown >= _REDRAW or done >= self._total:
            self._shown = now
            self._handle.update(self._state(done, tally))

    def _state(self, done: int, tally: str) -> Any:
        from IPython.display import HTML

        seconds = time.monotonic() - self._start
        left = f"{seconds * (self._total - done) / done:.0f} s left" if done else ""
        clock = f"{seconds:.0f} s" if done >= self._total else left
        return HTML(
            f'<div>{escape(self._title)} <progress value="{done}" max="{self._total}"></progress> '
            f"{done} / {self._total} {clock} {escape(tally)}</div>"
        )
