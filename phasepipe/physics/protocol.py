"""What is asked of a run: dynamics, times, thresholds, and observables of its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from phasepipe.errors import shown
from phasepipe.physics.arguments import require_number
from phasepipe.physics.arrays import require_device
from phasepipe.variables import Variable

Float = NDArray[np.float64]
Int = NDArray[np.intp]

MOST_STEPS = 10**10  # of a descent

# below these tolerances the error is dominated by rounding
_SMALLEST_TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


class Predictor(Protocol):
    """Additional observables of every record, computed from labels and predictions only."""

    @property
    def variables(self) -> Mapping[str, Variable]:
        """The observables, dimensions (start, time)."""
        ...

    def __call__(
        self, labels: Float, predictions: NDArray[np.floating], overlaps: Float
    ) -> Mapping[str, Float]:
        """Observables of runs on one instance: labels (M,), predictions (rows, M), overlaps (rows,)."""
        ...


@dataclass(frozen=True)
class Flow:
    """Gradient flow, integrated to ``relative_tolerance`` per step."""

    relative_tolerance: float = 1e-2


@dataclass(frozen=True)
class Descent:
    """Gradient descent ``w <- normalise(w - learning_rate g)``."""

    learning_rate: float


@dataclass(frozen=True)
class RunProtocol:
    """Dynamics, times and thresholds of a run; the same for all runs of a batch.

    Attributes
    ----------
    dynamics
        :class:`Flow` or :class:`Descent`.
    times
        Record times, ascending from 0, at most ``t_max``.
    recovery_threshold
        ``|m|`` above which a run has recovered, in (0, 1).
    gradient_tolerance
        ``|g| / sqrt(N)`` below which a run is tested for a trap.
    dtype
        float32 or float64.
    predictor
        Additional observables of every record.
    snapshots
        Indices into ``times`` at which points of chosen runs are stored.
    device
        "cpu", or "gpu" through PyTorch, which falls back to the CPU with a warning if there is no GPU.
    t_max
        Time budget; by default the last record time.
    """

    dynamics: Flow | Descent
    times: NDArray[np.float64]
    recovery_threshold: float = 0.99
    gradient_tolerance: float = 1e-3
    dtype: Literal["float32", "float64"] = "float32"
    predictor: Predictor | None = None
    snapshots: Int = dataclass_field(default_factory=lambda: np.arange(0))
    device: str = "cpu"
    t_max: float = np.nan

    def __post_init__(self) -> None:
        if np.isnan(self.t_max):
            object.__setattr__(self, "t_max", float(self.times[-1]))
        require_device(self.device)
        require_number("recovery_threshold", self.recovery_threshold, example=0.99, above=0, below=1)
        require_number("gradient_tolerance", self.gradient_tolerance, example=1e-3, above=0)
        # types such as np.float32 are accepted too
        object.__setattr__(self, "dtype", _require_dtype(self.dtype))
        if isinstance(self.dynamics, Descent):
            rate = require_number("learning_rate", self.dynamics.learning_rate, example=1e-3, above=0)
            if self.t_max / rate > MOST_STEPS:
                raise ValueError(
                    f"learning_rate = {rate:g} needs more than {MOST_STEPS:.0e} steps to t_max = "
                    f"{self.t_max:g}; use a larger one"
                )
            return
        tolerance = require_number("relative_tolerance", self.dynamics.relative_tolerance, example=1e-2)
        if not _SMALLEST_TOLERANCE[self.dtype] <= tolerance <= 0.1:
            raise ValueError(
                f"relative_tolerance = {tolerance:g} lies outside "
                f"[{_SMALLEST_TOLERANCE[self.dtype]:.0e}, 0.1] for {self.dtype}; take for example 1e-2"
            )


def _require_dtype(dtype: DTypeLike) -> str:
    try:
        name = np.dtype(dtype).name if dtype is not None else None
    except TypeError:
        name = None
    if name not in _SMALLEST_TOLERANCE:
        raise ValueError(f"dtype = {shown(dtype)} will not do; take 'float32' or 'float64'")
    return name
