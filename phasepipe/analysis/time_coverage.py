"""How often the interval of alpha_50 for unlimited time contains the truth.

Recovery times are planted by a law that is not what is fitted, or with instances that are slow or fast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike
from scipy import stats

from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.coverage import OFFSET
from phasepipe.analysis.planted import PlantedScaling
from phasepipe.analysis.recovery_times import RecoveryTimes
from phasepipe.analysis.time_limit import alpha_50_over_time
from phasepipe.physics.outcomes import Outcome

Law = Literal["lomax", "log-logistic", "log-normal"]


@dataclass(frozen=True)
class PlantedTimes:
    """Runs that recover in the end after a time of a given law; instances are slow or fast.

    ``scale`` is a typical time, ``gamma`` the exponent of late recoveries (of the log-normal law the inverse
    width), ``certified`` the share of the other runs that are certified as trapped by the horizon.
    """

    truth: PlantedScaling
    law: Law = "lomax"
    gamma: float = 0.7
    scale: float = 4.0
    certified: float = 0.0

    def draw(
        self,
        N: int,
        alphas: ArrayLike,
        instances: int,
        starts: int,
        horizon: float,
        rng: np.random.Generator,
    ) -> xr.Dataset:
        """``outcome, recovery_time, end_time`` of the runs of one size, dims ``alpha, instance, start``."""
        alpha = np.asarray(alphas, dtype=float)
        share = self.truth.shares(N, alpha, instances, rng)[..., None]
        shape = (*share.shape[:2], starts)
        ever = rng.random(shape) < share
        time = self._times(self.scale * np.exp(0.3 * rng.normal(size=share.shape)), rng.random(shape))
        recovered = ever & (time <= horizon)
        trapped = ~ever & (rng.random(shape) < self.certified)
        kind = np.where(recovered, Outcome.RECOVERED, np.where(trapped, Outcome.TRAPPED, Outcome.UNDECIDED))
        columns = {
            "outcome": kind,
            "recovery_time": np.where(recovered, time, np.nan),
            "end_time": np.where(recovered, time, horizon),
        }
        dims = ("alpha", "instance", "start")
        return xr.Dataset(
            {name: (dims, values) for name, values in columns.items()}, {"N": N, "alpha": alpha}
        )

    def _times(self, scale: FloatArray, later: FloatArray) -> FloatArray:
        """Recovery times, where ``later`` is the share of the recoveries that come later."""
        if self.law == "lomax":
            return np.asarray(scale * (later ** (-1 / self.gamma) - 1))
        if self.law == "log-logistic":
            return np.asarray(scale * (1 / later - 1) ** (1 / self.gamma))
        return np.asarray(2 * scale * np.exp(stats.norm.isf(later) / self.gamma))


@dataclass(frozen=True)
class TimedDesign:
    """What a sweep runs at one size."""

    N: int
    alphas: tuple[float, ...]
    instances: int
    starts: int
    horizon: float = 1e4  # t_max


def time_coverage(
    design: TimedDesign, planted: PlantedTimes, studies: int, rng: np.random.Generator
) -> pd.DataFrame:
    """alpha_50 for unlimited time and its interval, one row per study.

    Columns ``quantity, N, truth, value, lower, upper`` and ``undecided`` (share of all runs).
    """
    rows = []
    for _ in range(studies):
        alpha_inf = planted.truth.alpha_inf + rng.uniform(-OFFSET, OFFSET)
        moved = replace(planted, truth=replace(planted.truth, alpha_inf=alpha_inf))
        drawn = moved.draw(design.N, design.alphas, design.instances, design.starts, design.horizon, rng)
        runs = RecoveryTimes.of(drawn["outcome"], drawn["recovery_time"], drawn["end_time"])
        limit = alpha_50_over_time(runs, []).isel(budget=0)
        rows.append(
            {
                "quantity": "limit",
                "N": design.N,
                "truth": float(moved.truth.alpha_50(design.N)),
                "value": float(limit["alpha_50"]),
                "lower": float(limit["alpha_50_lower"]),
                "upper": float(limit["alpha_50_upper"]),
                "undecided": float((drawn["outcome"] == Outcome.UNDECIDED).mean()),
            }
        )
    return pd.DataFrame(rows)
