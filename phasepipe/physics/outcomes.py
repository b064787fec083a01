"""How a run of gradient descent ends (PHYSICS §3)."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """Fate of one run, stored as uint8."""

    PENDING = 0
    RECOVERED = 1
    TRAPPED = 2
    UNDECIDED = 3
    DIVERGED = 4
