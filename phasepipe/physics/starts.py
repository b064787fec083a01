"""Where a run starts on the sphere (PHYSICS §9).

Every start has a stream of its own, keyed by (seed, N, M, instance, kind, number), so that starts
number 16 to 31 are the same whether or not 0 to 15 were asked for.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from phasepipe.physics.problem import Problem
from phasepipe.physics.sphere import tangent, to_sphere
from phasepipe.physics.streams import Stream, generator


class StartKind(IntEnum):
    """Kinds of start; values are part of the store format and of the random keys."""

    RANDOM = 0
    WARM = 1


def _gaussians(problem: Problem, kind: StartKind, count: int, seed: int, first: int) -> NDArray[np.float64]:
    if count < 1:
        raise ValueError(f"count = {count} starts is not positive; take count of at least 1")
    if first < 0:
        raise ValueError(f"first = {first} is negative; starts are numbered from 0")
    key = (problem.N, problem.M, problem.instance, int(kind))
    return np.stack(
        [
            generator(Stream.START, seed, *key, number).standard_normal(problem.N)
            for number in range(first, first + count)
        ]
    )


def random(problem: Problem, count: int, seed: int, first: int = 0) -> NDArray[np.float64]:
    """Starts uniform on the sphere ``|w|² = N``.

    Parameters
    ----------
    problem
        Instance the starts are for.
    count, first
        Starts number ``first`` to ``first + count - 1`` are drawn.
    seed
        Root seed.

    Returns
    -------
    array, shape (count, N), float64
    """
    return np.asarray(to_sphere(_gaussians(problem, StartKind.RANDOM, count, seed, first)))


def warm(problem: Problem, count: int, seed: int, *, m0: float, first: int = 0) -> NDArray[np.float64]:
    """Starts with overlap exactly ``m0`` with the signal, otherwise uniform.

    Starts of equal number share their direction across ``m0``, so that differences between overlaps
    are seen without the noise of the direction.

    Raises
    ------
    ValueError
        If ``m0`` lies outside [0, 1).
    """
    if not 0 <= m0 < 1:
        raise ValueError(f"m0 = {m0} lies outside [0, 1); take for example m0 = 0.2")
    directions = _gaussians(problem, StartKind.WARM, count, seed, first)
    signal = np.broadcast_to(problem.signal, directions.shape)
    across = to_sphere(tangent(signal, directions))
    return np.asarray(to_sphere(m0 * signal + np.sqrt(1 - m0**2) * across))
