"""Timing that survives a busy machine: contestants take turns, ratios are taken within a turn.

Another process that takes half of a core slows all contestants of a round alike. So a ratio is the
median of the ratios of every round, with its quartiles; a time alone is the median of its rounds, beside the
share of wall time in which the process had the core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Action = Callable[[], object]
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    quick
        Small sizes and single rounds: proves that everything runs, measures nothing well.
    minutes
        Length of the bare engine's sweep in section *pipeline*.
    """

    quick: bool = False
    minutes: float = 1.0

    def rounds(self, full: int) -> int:
        return 1 if self.quick else full


@dataclass
class Table:
    """One table of results; ``note`` says what was compared and how, ``rows`` share their keys."""

    title: str
    note: str
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Ratio:
    """Median and quartiles over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g}–{self.high:.3g})"

    def scaled(self, factor: float) -> Ratio:
        return Ratio(self.median * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Samples:
    """Wall and CPU seconds per call, one entry per round."""

    wall: np.ndarray
    cpu: np.ndarray

    @property
    def seconds(self) -> float:
        return float(np.median(self.wall))

    def over(self, other: Samples) -> Ratio:
        """How many times as long as ``other`` a call took, paired by round."""
        low, median, high = np.quantile(self.wall / other.wall, [0.25, 0.5, 0.75])
        return Ratio(float(median), float(low), float(high))


def clock(action: Action, calls: int = 1) -> tuple[float, float]:
    """Wall and CPU seconds of one call, averaged over ``calls``."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        action()
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


def interleave(
    contestants: Mapping[str, Action], rounds: int, least_seconds: float = 0.02, warm_up: bool = True
) -> dict[str, Samples]:
    """Time all contestants in turns, the order reversed in every other round.

    Parameters
    ----------
    contestants
        What is timed, by name.
    rounds
        Turns of each contestant.
    least_seconds
        A contestant is called as often in a turn as it takes to last this long.
    warm_up
        Call each once before; needed to learn how long a call takes. Without, each turn is one call.
    """
    calls = dict.fromkeys(contestants, 1)
    if warm_up:
        for name, action in contestants.items():
            action()
            calls[name] = max(1, int(np.ceil(least_seconds / max(clock(action)[0], 1e-7))))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name in list(contestants)[:: -1 if turn % 2 else 1]:
            found[name].append(clock(contestants[name], calls[name]))
    return {name: Samples(*np.array(times).T) for name, times in found.items()}


def had_the_core(samples: Sequence[Samples]) -> float:
    """Median share of wall time in which the process ran; well below one on a busy machine."""
    return float(np.median(np.concatenate([one.cpu / one.wall for one in samples])))
