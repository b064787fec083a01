"""Draws the problems and starts of a sweep from its seed and the numbers of instances and starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from phasepipe.errors import UserError
from phasepipe.physics import starts
from phasepipe.physics.problem import Problem
from phasepipe.physics.start_kinds import StartKind
from phasepipe.specification.sweep import StartKey, Sweep

_PREPARATION = 100.0  # time of the flow that prepares threshold starts


def draw_problem(sweep: Sweep, N: int, M: int, instance: int) -> Problem:
    """Draw instance number ``instance`` of ``sweep`` with ``M`` measurements in dimension ``N``."""
    return Problem.draw(
        N,
        M / N,
        sweep.seed,
        instance,
        zero_signal=sweep.zero_signal,
        ensemble=sweep.sensing.build(),
        noise=sweep.noise,
    )


def chosen_keys(keys: Mapping[str, NDArray[np.generic]], chosen: NDArray[np.bool_]) -> list[StartKey]:
    """Keys of the starts at the positions ``chosen`` (starts,), from the stored coordinates ``keys``."""
    columns = (keys[name][chosen].tolist() for name in ("start_kind", "start_m0", "start_number"))
    return list(zip(*columns, strict=True))


def draw_starts(sweep: Sweep, problem: Problem, keys: Sequence[StartKey]) -> NDArray[np.float64]:
    """Draw the starts of one instance with these keys (kind, m0, number), shape (keys, N)."""
    # starts of one kind with consecutive numbers are drawn together: cheaper if a start needs a descent
    numbered = enumerate(keys)
    blocks = groupby(numbered, lambda item: (item[1][0], repr(item[1][1]), item[1][2] - item[0]))
    return np.concatenate([_block(sweep, problem, [key for _, key in block]) for _, block in blocks])


def _block(sweep: Sweep, problem: Problem, keys: Sequence[StartKey]) -> NDArray[np.float64]:
    kind, m0, first = keys[0]
    count, seed = len(keys), sweep.seed
    match StartKind(kind):
        case StartKind.RANDOM:
            return starts.random(problem, count, seed, first)
        case StartKind.WARM:
            return starts.warm(problem, count, seed, m0=m0, first=first)
        case StartKind.SPECTRAL:
            return starts.spectral(problem)
        case StartKind.CURVATURE:
            return starts.curvature(problem, sweep.loss.build(), count, seed, first)
        case StartKind.THRESHOLD:
            return starts.threshold(
                problem, sweep.loss.build(), count, seed, preparation=_PREPARATION, first=first
            )


class InstanceMismatchError(UserError):
    """A regenerated instance differs from the stored one."""


def check_digests(digests: NDArray[np.uint64], problems: Iterable[Problem]) -> None:
    """Compare the digests of regenerated sensing matrices with the stored ``digests``, shape (problems,).

    Raises
    ------
    InstanceMismatchError
        If a digest differs; the message names the first such instance.
    """
    for problem, digest in zip(problems, digests, strict=True):
        if digest == problem.digest():
            continue
        if digest != problem.former_digest():
            raise InstanceMismatchError(
                f"the sensing matrix of instance {problem.instance} (N = {problem.N}, M = {problem.M}) is "
                "not the one that was stored: its random stream differs in this version of NumPy; "
                "install the versions of constraints.txt, or give the sweep another name"
            )
