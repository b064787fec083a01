"""States of undecided runs, from which a longer run goes on as if it had never stopped.

A run stops in the step that reaches its time budget. Its state is that at the beginning of this step, so
that a continuation takes the same step again, with the same bits, and does not depend on the budget. The
state is one vector of float64 numbers, in which float32 numbers are exact:

    SCALARS, the point w (N,), the vector of the power method for the spectral radius (N,)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

# of the integrator (phasepipe.physics.chebyshev); a fixed learning rate uses only time and evaluations
SCALARS = (
    "time",
    "step",
    "radius",
    "radius_age",
    "previous_step",
    "previous_error",
    "rejected_before",
    "evaluations",
)
_LOG = ("examine_below",)  # of the records, see phasepipe.physics.records
_ALL = (*SCALARS, *_LOG)


def state_length(N: int) -> int:
    """Length of the vector that holds the state of a run."""
    return len(_ALL) + 2 * N


@dataclass(frozen=True)
class RunStates:
    """States of several runs; NaN for a run without one, which begins at its start.

    ``vectors`` has shape (runs, :func:`state_length`); the properties are views of it.
    """

    vectors: Float

    def select(self, runs: NDArray[np.bool_] | slice) -> RunStates:
        """States of some of the runs."""
        return RunStates(self.vectors[runs])

    @property
    def scalars(self) -> dict[str, Float]:
        """Numbers by name, each of shape (runs,)."""
        return {name: self.vectors[:, index] for index, name in enumerate(_ALL)}

    @property
    def points(self) -> Float:
        """Points w, shape (runs, N)."""
        return self.vectors[:, len(_ALL) : len(_ALL) + self._N]

    @property
    def power_vectors(self) -> Float:
        """Vectors of the power method, shape (runs, N)."""
        return self.vectors[:, len(_ALL) + self._N :]

    @property
    def _N(self) -> int:
        return int(self.vectors.shape[1] - len(_ALL)) // 2


def no_states(runs: int, N: int) -> RunStates:
    """States of runs that have none."""
    return RunStates(np.full((runs, state_length(N)), np.nan))
