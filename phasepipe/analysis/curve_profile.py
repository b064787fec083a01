"""Quasi-likelihood of one success curve: the best fit, and profile intervals of its midpoint and width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from phasepipe.analysis.counts import Cells, FloatArray
from phasepipe.analysis.intervals import overdispersion
from phasepipe.analysis.likelihood import DISTRIBUTIONS, BatchFit, Link, fit_batch

LAPSES = 0.45 * np.linspace(0.0, 1.0, 16) ** 2  # fine where lapses usually are
LAPSE_GAIN = 8.0  # deviance a lapse must gain; instances that fail alone in the tail gain 4 too often
GRID = 61  # points of a profile before refinement


@dataclass(frozen=True)
class CurveLikelihood:
    """Quasi-likelihood of one curve in the scaled variable ``u = (alpha - centre) / scale``."""

    u: FloatArray
    recovered: FloatArray  # divided by the design effect
    runs: FloatArray
    centre: float
    scale: float
    link: Link
    correlation: float
    critical: float

    @classmethod
    def of(cls, cells: Cells, link: Link, level: float) -> CurveLikelihood:
        dispersion = overdispersion(cells.sums, pool_axes=(0,))
        centre = float(cells.alpha.mean())
        scale = float(np.ptp(cells.alpha)) / 2
        return cls(
            u=(cells.alpha - centre) / scale,
            recovered=cells.sums.recovered / dispersion.design_effect,
            runs=cells.sums.runs / dispersion.design_effect,
            centre=centre,
            scale=scale,
            link=link,
            correlation=float(np.fmax.reduce(dispersion.correlation)),  # NaN in cells of single runs
            critical=float(stats.t.isf((1 - level) / 2, np.min(dispersion.degrees_of_freedom))),
        )

    def best(self) -> tuple[BatchFit, float]:
        """Fit without lapse, or with one if it gains enough."""
        design = np.stack([np.ones_like(self.u), self.u], axis=-1)[None]
        plain = fit_batch(design, self.recovered, self.runs, link=self.link)
        if len(self.u) < 4:
            return plain, 0.0
        lapsed = fit_batch(design, self.recovered, self.runs, link=self.link, lapse=LAPSES)
        winner = int(np.argmin(lapsed.deviance))
        if plain.deviance[0] - lapsed.deviance[winner] < LAPSE_GAIN:
            return plain, 0.0
        lapse = float(LAPSES[winner])
        return fit_batch(design, self.recovered, self.runs, link=self.link, lapse=lapse), lapse

    def profile_alpha_50(self, estimate: float, best: BatchFit, lapse: float) -> tuple[float, float]:
        """Profile interval of alpha_50, the slope (and the lapse, if any) free."""

        def deviance(candidates: FloatArray) -> FloatArray:
            design = (self.u - candidates[:, None])[:, :, None]
            return self._constrained(design, lapse, lambda value: np.array(half(self.link, value)))

        # as far outside the grid as the grid is long; beyond that alpha_50 is not bounded
        at = (estimate - self.centre) / self.scale
        ends = _profile_interval(deviance, at, float(best.deviance[0]) + self.critical**2, (-3.0, 3.0))
        return self.centre + self.scale * ends[0], self.centre + self.scale * ends[1]

    def profile_width(self, best: BatchFit, lapse: float) -> tuple[float, float]:
        """Profile interval of the quartile width, the midpoint (and the lapse, if any) free."""
        quartiles = 2 * float(DISTRIBUTIONS[self.link].quantile(np.array(0.75)))
        middle = np.ones((1, len(self.u), 1))

        def deviance(log_slopes: FloatArray) -> FloatArray:
            offset = np.exp(log_slopes)[:, None] * self.u
            return self._constrained(middle, lapse, lambda _: offset)

        # from twenty times the grid down to a twentieth of its spacing
        limits = (np.log(quartiles / 40), np.log(20 * quartiles / float(np.min(np.diff(self.u)))))
        at = float(np.clip(np.log(best.coefficients[0, 1]), *limits))
        ends = _profile_interval(deviance, at, float(best.deviance[0]) + self.critical**2, limits)
        return self.scale * quartiles * np.exp(-ends[1]), self.scale * quartiles * np.exp(-ends[0])

    def _constrained(
        self, design: FloatArray, lapse: float, offset: Callable[[float], FloatArray]
    ) -> FloatArray:
        """Least deviance of each member of a batch, over the lapses if the fit has one."""
        lapses = LAPSES if lapse > 0 else np.zeros(1)
        fits = [
            fit_batch(design, self.recovered, self.runs, link=self.link, lapse=value, offset=offset(value))
            for value in lapses
        ]
        return np.asarray(np.min([fit.deviance for fit in fits], axis=0))


def half(link: Link, lapse: float) -> float:
    """Linear predictor at which ``P = 1/2``."""
    return float(DISTRIBUTIONS[link].quantile(np.array(0.5 / (1 - lapse))))


def _profile_interval(
    deviance: Callable[[FloatArray], FloatArray], at: float, threshold: float, limits: tuple[float, float]
) -> tuple[float, float]:
    """Where the profile deviance reaches the threshold either side of ``at``; infinite beyond the limits."""
    ends = []
    for limit in limits:
        # dense near the minimum, so that narrow intervals are found too
        grid = at + (limit - at) * np.linspace(0.0, 1.0, GRID) ** 3
        end = np.copysign(np.inf, limit - at)
        for _ in range(2):
            excess = deviance(grid) - threshold
            excess[0] = min(excess[0], 0.0)
            above = np.flatnonzero(excess > 0)
            if above.size == 0:
                break
            right = int(above[0])
            end = float(np.interp(0.0, excess[right - 1 : right + 1], grid[right - 1 : right + 1]))
            grid = np.linspace(grid[right - 1], grid[right], 9)
        ends.append(float(end))
    return ends[0], ends[1]
