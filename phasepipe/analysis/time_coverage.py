"""How often the interval of alpha_50 for unlimited time contains the truth, at the designs of the study.

Recovery times are planted by a law that is not what is fitted, or with instances that are slow or fast. Print
the table of docs/evidence/scaling-coverage.md with ``python -m phasepipe.analysis.time_coverage``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike
from scipy import stats

from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.coverage import summary
from phasepipe.analysis.planted import POPULATIONS, PlantedScaling
from phasepipe.analysis.recovery_times import RecoveryTimes
from phasepipe.analysis.time_limit import alpha_50_over_time
from phasepipe.physics.outcomes import Outcome

Law = Literal["lomax", "log-logistic", "log-normal"]

LAWS: tuple[tuple[Law, float], ...] = (("lomax", 1.0), ("lomax", 0.7), ("log-normal", 0.7))
# near what the sweep at a = 0.01 shows for unlimited time: 2.225 at N = 64 to 2.46 at N = 2048
TRUTH = PlantedScaling(
    alpha_inf=1.941,
    amplitude=0.0683,
    form="log_linear",
    width=1.04,
    inverse_nu=0.128,
    population=POPULATIONS["skewed"],
)


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
    """What a sweep runs at one size, and how slow its runs are."""

    N: int
    alphas: tuple[float, ...]
    instances: int
    scale: float  # at N = 512 half of the recoveries come after t = 100
    certified: float
    horizon: float = 1e4
    starts: int = 8


# config/study/4-scaling.yaml; the last is the largest size followed for a shorter time
DESIGNS = (
    TimedDesign(64, (1.75, 2, 2.25, 2.5, 2.75), 512, 5, 1.0),
    TimedDesign(128, (1.75, 2, 2.25, 2.5, 2.75), 384, 18, 1.0),
    TimedDesign(256, (1.9, 2.1, 2.3, 2.5, 2.75), 192, 43, 0.99),
    TimedDesign(512, (2, 2.2, 2.4, 2.6, 2.8), 96, 100, 0.97),
    TimedDesign(1024, (2.2, 2.4, 2.6, 2.8), 48, 185, 0.95),
    TimedDesign(2048, (2.3, 2.5, 2.7), 16, 300, 0.9),
    TimedDesign(2048, (2.3, 2.5, 2.7), 16, 300, 0.62, horizon=1e3),
)


def time_coverage(
    design: TimedDesign, law: Law, gamma: float, studies: int, rng: np.random.Generator
) -> pd.DataFrame:
    """alpha_50 for unlimited time and its interval, one row per study.

    Columns ``quantity, N, truth, value, lower, upper`` and ``undecided`` (share of all runs).
    """
    planted = PlantedTimes(TRUTH, law, gamma, design.scale, design.certified)
    rows = []
    for _ in range(studies):
        drawn = planted.draw(design.N, design.alphas, design.instances, design.starts, design.horizon, rng)
        runs = RecoveryTimes.of(drawn["outcome"], drawn["recovery_time"], drawn["end_time"])
        limit = alpha_50_over_time(runs, []).isel(budget=0)
        rows.append(
            {
                "quantity": "limit",
                "N": design.N,
                "truth": float(TRUTH.alpha_50(design.N)),
                "value": float(limit["alpha_50"]),
                "lower": float(limit["alpha_50_lower"]),
                "upper": float(limit["alpha_50_upper"]),
                "undecided": float((drawn["outcome"] == Outcome.UNDECIDED).mean()),
            }
        )
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the coverage table in Markdown."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--studies", type=int, default=60)
    options = parser.parse_args(arguments)
    print("| N | t_max | undecided | recovery times | coverage | below | above | median error | half-width |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for design in DESIGNS:
        for law, gamma in LAWS:
            found = time_coverage(design, law, gamma, options.studies, np.random.default_rng(4))
            row = summary(found).iloc[0]
            error = (found["value"] - found["truth"]).median()
            half = ((found["upper"] - found["lower"]) / 2).median()
            covered = " | ".join(f"{row[name]:.1f}" for name in ("coverage", "below", "above"))
            print(
                f"| {design.N} | {design.horizon:g} | {found['undecided'].mean():.0%} | {law}, {gamma:g} | "
                f"{covered} | {error:+.3f} | {half:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
