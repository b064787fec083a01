"""The kinds of start."""

from __future__ import annotations

from enum import IntEnum


class StartKind(IntEnum):
    """Kinds of start; values are part of the store format and of the random keys."""

    RANDOM = 0
    WARM = 1
    SPECTRAL = 2
    CURVATURE = 3
    THRESHOLD = 4
