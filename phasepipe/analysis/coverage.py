"""How often intervals contain the truth, on planted data that were not drawn from what is fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from phasepipe.analysis.curves import CurveFit, curve_table, fit_curves
from phasepipe.analysis.extrapolation import extrapolate
from phasepipe.analysis.intervals import interval_from_sums
from phasepipe.analysis.planted import PlantedScaling

# near what runs at a = 0.01 show within t = 100: alpha_50 from 2.22 at N = 64 to 2.74 at N = 2048
TRUTH = PlantedScaling(
    alpha_inf=4.436,
    amplitude=-25.3,
    form="inverse_log",
    unit_size=64 * np.exp(-11.4),
    width=1.04,
    inverse_nu=0.128,
)
OFFSET = 0.05  # alpha_50 of a study is moved by up to this, so that no grid lies luckily


@dataclass(frozen=True)
class Design:
    """What a sweep runs. ``alphas`` and ``instances`` have one entry per size."""

    sizes: tuple[int, ...]
    alphas: tuple[tuple[float, ...], ...]
    instances: tuple[int | tuple[int, ...], ...]
    starts: int

    def draw(self, truth: PlantedScaling, rng: np.random.Generator) -> pd.DataFrame:
        """Tidy counts of one study."""
        return pd.concat(
            [
                truth.draw([N], alphas, instances, self.starts, rng)
                for N, alphas, instances in zip(self.sizes, self.alphas, self.instances, strict=True)
            ],
            ignore_index=True,
        )


def curve_coverage(
    design: Design, truth: PlantedScaling, studies: int, rng: np.random.Generator, *, limit: bool = False
) -> pd.DataFrame:
    """Intervals of P, alpha_50, width and, on request, of the limit, against the truth.

    Returns
    -------
    pandas.DataFrame
        One row per interval: ``quantity, N, truth, value, lower, upper``; N is 0 for the limit.
    """
    rows: list[tuple[str, int, float, float, float, float]] = []
    for _ in range(studies):
        planted = replace(truth, alpha_inf=truth.alpha_inf + rng.uniform(-OFFSET, OFFSET))
        fits = fit_curves(design.draw(planted, rng))
        for fit in fits:
            rows += _of_curve(fit, planted)
        if limit:
            table = curve_table(fits)
            found = extrapolate(table["N"], table["alpha_50"], table["alpha_50_error"])
            for name, (lower, upper) in {
                "limit, planted form": next(
                    fit.limit_interval for fit in found.fits if fit.form == truth.form
                ),
                "limit, all forms": found.limit_range,
            }.items():
                rows.append((name, 0, planted.alpha_inf, np.nan, lower, upper))
    return pd.DataFrame(rows, columns=["quantity", "N", "truth", "value", "lower", "upper"])


def _of_curve(fit: CurveFit, planted: PlantedScaling) -> list[tuple[str, int, float, float, float, float]]:
    interval = interval_from_sums(fit.cells.sums, pool_axes=(0,))
    probability = planted.probability(fit.N, fit.cells.alpha)
    # nearer to 0 and 1 counts are too coarse for any interval to cover 95 %
    rows = [
        ("P", fit.N, float(truth), float(p), float(low), float(high))
        for truth, p, low, high in zip(
            probability, interval.probability, interval.lower, interval.upper, strict=True
        )
        if 0.05 < truth < 0.95
    ]
    alpha_50, width = float(planted.alpha_50(fit.N)), float(planted.quartile_distance(fit.N))
    rows.append(("alpha_50", fit.N, alpha_50, fit.alpha_50, fit.alpha_50_lower, fit.alpha_50_upper))
    if np.isfinite(fit.width_lower):
        rows.append(("width", fit.N, width, fit.width, fit.width_lower, fit.width_upper))
    return rows


def summary(intervals: pd.DataFrame) -> pd.DataFrame:
    """Coverage by quantity in percent, misses by side, and the worst size.

    ``below`` and ``above`` are intervals that lie wholly below or above the truth; ``bias`` is the median of
    (value - truth) over the length of the interval; ``open`` the share that is unbounded.
    """
    rows = []
    for quantity, of_quantity in intervals.groupby("quantity", sort=False):
        below, above = (
            of_quantity["upper"] < of_quantity["truth"],
            of_quantity["lower"] > of_quantity["truth"],
        )
        covered = ~(below | above)
        length = of_quantity["upper"] - of_quantity["lower"]
        by_size = covered.groupby(of_quantity["N"]).mean()
        rows.append(
            {
                "quantity": quantity,
                "coverage": 100 * covered.mean(),
                "below": 100 * below.mean(),
                "above": 100 * above.mean(),
                "by N": f"{100 * by_size.min():.1f} to {100 * by_size.max():.1f}",
                "bias": ((of_quantity["value"] - of_quantity["truth"]) / length).median(),
                "open": 100 * np.isinf(length).mean(),
            }
        )
    return pd.DataFrame(rows)
