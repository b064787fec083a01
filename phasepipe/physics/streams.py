"""Random streams keyed by integers.

The key of a stream describes its purpose and never depends on the position in a loop, worker or block.
Therefore any run can be repeated alone, and a grid can grow without affecting existing runs.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """First integer of a key: the purpose of the stream. Values are part of the store format."""

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
        Purpose of the stream.
    seed
        Root seed of the sweep, a non-negative integer.
    *key
        Non-negative integers that identify the stream, for example ``N, M, instance``.
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(stream), *key))
    return np.random.Generator(np.random.PCG64DXSM(sequence))
