"""Timing on a busy machine: the compared functions take turns, and ratios are computed within each round.

Other processes slow down all functions of a round equally. A ratio is therefore the median, with quartiles,
of the ratios of all rounds. A time is the median over the rounds, reported with the share of wall time in
which the process had the core.
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
    """Size of the measurement.

    Attributes
    ----------
    quick
        Small sizes and single rounds: checks that everything runs, but measures nothing accurately.
    minutes
        Duration of the sweep of section *pipeline* in the engine alone.
    """

    quick: bool = False
    minutes: float = 1.0

    def rounds(self, full: int) -> int:
        return 1 if self.quick else full


@dataclass
class Table:
    """One table of results; ``note`` explains what was compared and how; all ``rows`` have the same keys."""

    title: str
    note: str
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Ratio:
    """Median and quartiles of a ratio over the rounds."""

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
        """Time of a call divided by that of ``other``, round by round."""
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
    """Time all functions in turns, with the order reversed in every other round.

    Parameters
    ----------
    contestants
        Functions to time, by name.
    rounds
        Number of rounds.
    least_seconds
        A function is called in each round as often as is necessary to take this long.
    warm_up
        Call each function before the rounds, to measure how long a call takes; without, a round is one call.
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
