"""Points of all sizes that may enter a data collapse, and what a collapse found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phasepipe.analysis.counts import FloatArray, cells_by_size
from phasepipe.analysis.intervals import overdispersion

INVERSE_NU = (0.02, 2.0)
OMEGA = (0.05, 3.0)
NAMES = ("alpha_c", "1/nu", "omega")


@dataclass(frozen=True)
class Collapse:
    """Best collapse. Intervals are NaN where there are none: for S, and with a parameter at its bound."""

    method: str  # "quality S" or "spline" or "spline with correction"
    alpha_c: float
    alpha_c_interval: tuple[float, float]
    inverse_nu: float
    inverse_nu_interval: tuple[float, float]
    omega: float  # correction exponent; NaN without correction
    omega_interval: tuple[float, float]
    quality: float  # about 1 if the data collapse
    at_bound: str  # names of the parameters at an end of their range; empty if none is
    points: pd.DataFrame  # N, alpha, probability, error, scaled, entered, reason

    @property
    def entered(self) -> int:
        """Number of points behind the quality."""
        return int(self.points["entered"].sum())


@dataclass(frozen=True)
class CollapsePoints:
    """Points of all sizes in the window, and the table of all points to report on."""

    kept: NDArray[np.bool_]
    table: pd.DataFrame
    N: FloatArray
    alpha: FloatArray
    probability: FloatArray
    error: FloatArray
    group: NDArray[np.int64]

    @classmethod
    def of(cls, counts: pd.DataFrame, window: tuple[float, float]) -> CollapsePoints:
        sizes = list(cells_by_size(counts))
        effects = [overdispersion(cells.sums, pool_axes=(0,)).design_effect for cells in sizes]
        runs = np.concatenate(
            [cells.sums.runs / effect for cells, effect in zip(sizes, effects, strict=True)]
        )
        probability = np.concatenate([cells.sums.recovered / cells.sums.runs for cells in sizes])
        shrunk = (probability * runs + 0.5) / (runs + 1)  # no zero error at p = 0 or 1
        table = pd.DataFrame(
            {
                "N": np.concatenate([np.full(len(cells), cells.N) for cells in sizes]),
                "alpha": np.concatenate([cells.alpha for cells in sizes]),
                "probability": probability,
                "error": np.sqrt(shrunk * (1 - shrunk) / runs),
            }
        )
        kept = ((probability >= window[0]) & (probability <= window[1])).astype(bool)
        inside = table[kept]
        per_size = inside.groupby("N").size()
        if (per_size >= 2).sum() < 2:
            raise ValueError(
                f"{(per_size >= 2).sum()} size has two points with {window[0]:g} <= P <= {window[1]:g}; "
                "a collapse needs at least 2 such sizes"
            )
        N, alpha, y, error = (inside[name].to_numpy(float) for name in ("N", "alpha", "probability", "error"))
        group = np.unique(inside["N"], return_inverse=True)[1].astype(np.int64)
        return cls(kept, table, N, alpha, y, error, group)

    def scaled(self, parameters: FloatArray) -> FloatArray:
        return np.asarray((self.alpha - parameters[0]) * self.N ** parameters[1])

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Range of alpha_c, 1/nu and omega that is searched."""
        span = float(np.ptp(self.alpha))
        return [(float(self.alpha.min()) - 2 * span, float(self.alpha.max()) + 4 * span), INVERSE_NU, OMEGA]

    def at_bound(self, parameters: FloatArray) -> str:
        """Names of the parameters that lie at an end of their range, empty if none does."""
        names = [
            name
            for name, value, (low, high) in zip(NAMES, parameters, self.bounds, strict=False)
            if min(value - low, high - value) < 1e-3 * (high - low)
        ]
        return ", ".join(names)

    def result(
        self,
        method: str,
        best: FloatArray,
        intervals: list[tuple[float, float]],
        quality: float,
        entered: NDArray[np.bool_],
    ) -> Collapse:
        table = self.table.copy()
        table["scaled"] = (table["alpha"] - best[0]) * table["N"] ** best[1]
        table["entered"] = False
        table.loc[self.kept, "entered"] = entered
        table["reason"] = np.where(table["entered"], "", "no neighbours of other sizes")
        table.loc[~self.kept, "reason"] = "outside the window of P"
        corrected = len(best) > 2
        return Collapse(
            method=method,
            alpha_c=float(best[0]),
            alpha_c_interval=intervals[0],
            inverse_nu=float(best[1]),
            inverse_nu_interval=intervals[1],
            omega=float(best[2]) if corrected else np.nan,
            omega_interval=intervals[2] if corrected else (np.nan, np.nan),
            quality=quality,
            at_bound=self.at_bound(best),
            points=table,
        )
