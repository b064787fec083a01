"""Random streams keyed by integers.

Every stream is addressed by what it is for, never by a position in a loop, a worker or a block.
So any run can be repeated alone, and a grid can grow without touching what is there.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """First word of a key: what the numbers are for. Values are part of the store format."""

    SENSING = 1
    SIGNAL = 2
    CONTROL_LABELS = 3
    START = 4
    BOOTSTRAP = 5
    PROBE = 6
    NOISE = 7


def generator(stream: Stream, seed: int, *key: int) -> np.random.Generator:
    """Generator of one keyed stream.

    Parameters
    ----------
    stream
        What the numbers are for.
    seed
        Root seed of the sweep, a non-negative integer.
    *key
        Non-negative integers that address the stream, for example ``N, M, instance``.
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(stream), *key))
    return np.random.Generator(np.random.PCG64DXSM(sequence))
