"""Success curves in alpha for one system size: midpoint alpha_50, width, intervals, and goodness of fit.

Cells enter by the quasi-likelihood with runs divided by the design effect, so that intervals respect the
correlation of starts. Because that correlation is estimated inside cells, lack of fit can be told apart from
it. alpha_50 is where ``P = 1/2`` (also with a lapse); the width is the distance in alpha between the
quartiles of the fitted distribution, the same notion for logistic and probit. Intervals of both are
profile intervals. Where the data do not contain the crossing, that is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from phasepipe.analysis.counts import Cells, FloatArray, cells_by_size
from phasepipe.analysis.curve_profile import CurveLikelihood, half
from phasepipe.analysis.intervals import interval_from_sums
from phasepipe.analysis.isotonic import bootstrap_crossings, crossing, isotonic_probability
from phasepipe.analysis.likelihood import DISTRIBUTIONS, Link

POOR_FIT = 0.01  # p value below which the parametric curve is not believed

TABLE = {
    "alpha_50": "alpha at which half of the runs recover",
    "alpha_50_lower": "lower end of the interval of alpha_50",
    "alpha_50_upper": "upper end of the interval of alpha_50",
    "alpha_50_error": "standard error of alpha_50",
    "width": "distance in alpha between the quartiles of the success curve",
    "width_lower": "lower end of the interval of the width",
    "width_upper": "upper end of the interval of the width",
    "width_error": "standard error of the width",
    "lapse": "share of runs that fail at any alpha",
    "intercept": "intercept of the linear predictor",
    "slope": "slope of the linear predictor in alpha",
    "deviance": "deviance of the fit over its design effect",
    "goodness": "p value of the lack-of-fit test",
    "correlation": "intraclass correlation of the starts of one instance",
}


class CurveStatus(StrEnum):
    """What became of the fit of one success curve."""

    FITTED = "fitted"
    ISOTONIC = "isotonic"  # parametric fit rejected; alpha_50 from the isotonic fit
    UNRESOLVED = "unresolved"  # crossing inside the grid, but its interval is not bounded
    NOT_BRACKETED = "not bracketed"  # the grid does not contain the crossing


@dataclass(frozen=True)
class CurveFit:
    """Fit of one success curve. Quantities that the data do not give are NaN, open ends infinite."""

    N: int
    status: CurveStatus
    message: str
    alpha_50: float
    alpha_50_lower: float
    alpha_50_upper: float
    width: float
    width_lower: float
    width_upper: float
    link: Link
    lapse: float
    intercept: float
    slope: float
    covariance: FloatArray  # (2, 2), of intercept and slope
    deviance: float
    goodness: float  # p value of the lack-of-fit test; NaN without degrees of freedom
    correlation: float
    critical: float  # quantile of t behind every interval
    cells: Cells

    @property
    def alpha_50_error(self) -> float:
        """Standard error of alpha_50: half the interval over the quantile behind it."""
        return (self.alpha_50_upper - self.alpha_50_lower) / (2 * self.critical)

    @property
    def width_error(self) -> float:
        """Standard error of the width: half the interval over the quantile behind it."""
        return (self.width_upper - self.width_lower) / (2 * self.critical)

    def probability(self, alpha: FloatArray) -> FloatArray:
        """Fitted success probability at ``alpha``."""
        return (1 - self.lapse) * DISTRIBUTIONS[self.link].cumulative(self.intercept + self.slope * alpha)

    def band(self, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pointwise interval of the fitted curve at ``alpha`` (Wald on the linear predictor)."""
        design = np.stack([np.ones_like(alpha), alpha], axis=-1)
        error = self.critical * np.sqrt(np.einsum("ap,pq,aq->a", design, self.covariance, design))
        predictor = self.intercept + self.slope * alpha
        cumulative = DISTRIBUTIONS[self.link].cumulative
        return (1 - self.lapse) * cumulative(predictor - error), (1 - self.lapse) * cumulative(
            predictor + error
        )


def fit_curves(
    counts: pd.DataFrame,
    *,
    link: Link = "logit",
    level: float = 0.95,
    rng: np.random.Generator | None = None,
) -> list[CurveFit]:
    """Fit the success curve of every system size.

    Parameters
    ----------
    counts
        Tidy counts (:func:`~phasepipe.analysis.counts.tidy_counts`).
    link
        ``"logit"`` or ``"probit"``. Fix it before looking: choosing the one that fits better hardly matters
        for alpha_50, but intervals of the width that ignore the choice cover some 85 instead of 95 %.
    level
        Nominal coverage of the intervals.
    rng
        For the bootstrap behind an isotonic interval; a fixed one by default.

    Returns
    -------
    list of CurveFit
        In ascending order of N.

    Raises
    ------
    ValueError
        If a size has a single alpha, or the counts are not valid.
    """
    generator = np.random.default_rng(0) if rng is None else rng
    return [fit_curve(cells, link=link, level=level, rng=generator) for cells in cells_by_size(counts)]


def curve_table(fits: list[CurveFit]) -> xr.Dataset:
    """Results of the fits as labelled arrays over N; ``status`` is text."""
    table = xr.Dataset(
        coords={"N": ("N", [fit.N for fit in fits], {"long_name": "system size", "units": "1"})}
    )
    for name, long_name in TABLE.items():
        values = [getattr(fit, name) for fit in fits]
        table[name] = ("N", values, {"long_name": long_name, "units": "1"})
    for name, long_name in (("status", "status of the fit"), ("message", "what limits the fit")):
        values = [str(getattr(fit, name)) for fit in fits]
        table[name] = ("N", np.array(values, dtype=str), {"long_name": long_name, "units": "1"})
    table.attrs["link"] = fits[0].link
    return table


def fit_curve(cells: Cells, *, link: Link, level: float = 0.95, rng: np.random.Generator) -> CurveFit:
    """Fit the success curve of one system size; see :func:`fit_curves`."""
    if len(cells) < 2:
        raise ValueError(
            f"N = {cells.N} has the single alpha = {cells.alpha[0]:g}; "
            "a success curve needs at least 2, better 5"
        )
    problem = CurveLikelihood.of(cells, link, level)
    best, lapse = problem.best()
    slope = float(best.coefficients[0, 1]) / problem.scale
    intercept = float(best.coefficients[0, 0]) - slope * problem.centre
    quartile = DISTRIBUTIONS[link].quantile(np.array(0.75))
    estimate = (half(link, lapse) - intercept) / slope if slope > 0 else np.nan
    goodness = _goodness(problem, best.probability[0], parameters=2 + (lapse > 0))
    monotone = crossing(cells.alpha, isotonic_probability(cells.sums.recovered, cells.sums.runs))
    status, message = CurveStatus.FITTED, ""
    lower = upper = width_lower = width_upper = np.nan
    if not np.isfinite(monotone):
        status, estimate = CurveStatus.NOT_BRACKETED, np.nan
        lower, upper, message = _not_bracketed(cells, level)
    elif goodness < POOR_FIT:
        status, estimate = CurveStatus.ISOTONIC, monotone
        lower, upper = bootstrap_crossings(cells, rng, level)
        message = f"the {link} curve is rejected (p = {goodness:.1g}); alpha_50 is that of the isotonic fit"
    elif not cells.alpha[0] <= estimate <= cells.alpha[-1]:
        status, estimate, lower, upper = CurveStatus.UNRESOLVED, np.nan, -np.inf, np.inf
        message = "P shows no rise through 1/2 with alpha; more instances or a wider grid are needed"
    else:
        lower, upper = problem.profile_alpha_50(estimate, best, lapse)
        width_lower, width_upper = problem.profile_width(best, lapse)
        if not (np.isfinite(lower) and np.isfinite(upper)):
            status = CurveStatus.UNRESOLVED
            message = "P does not rise clearly enough with alpha to bound alpha_50; more instances are needed"
        elif width_lower == 0:
            message = "the curve rises between two neighbouring alphas; its width has an upper bound only"
    scale = np.array([[1.0, -problem.centre / problem.scale], [0.0, 1.0 / problem.scale]])
    covariance = scale @ np.linalg.pinv(best.information[0]) @ scale.T
    return CurveFit(
        N=cells.N,
        status=status,
        message=message,
        alpha_50=float(estimate),
        alpha_50_lower=float(lower),
        alpha_50_upper=float(upper),
        width=float(2 * quartile / slope) if np.isfinite(width_upper) else np.nan,
        width_lower=width_lower,
        width_upper=width_upper,
        link=link,
        lapse=lapse,
        intercept=intercept,
        slope=slope,
        covariance=covariance,
        deviance=float(best.deviance[0]),
        goodness=goodness,
        correlation=problem.correlation,
        critical=problem.critical,
        cells=cells,
    )


def _goodness(problem: CurveLikelihood, probability: FloatArray, parameters: int) -> float:
    """P value of Pearson's lack-of-fit test against the variation inside cells.

    Neighbouring cells are merged until a few recoveries and a few failures are expected in each, where
    the chi-squared distribution holds.
    """
    merged: list[FloatArray] = []
    sums = np.zeros(3)
    for k, n, p in zip(problem.recovered, problem.runs, probability, strict=True):
        sums = sums + np.array([k, n * p, n * p * (1 - p)])
        if sums[2] >= 2:
            merged.append(sums)
            sums = np.zeros(3)
    freedom = len(merged) - parameters
    if freedom < 1:
        return np.nan
    observed, expected, variance = np.array(merged).T
    return float(stats.chi2.sf(np.sum((observed - expected) ** 2 / variance), freedom))


def _not_bracketed(cells: Cells, level: float) -> tuple[float, float, str]:
    """Bounds and message where the curve stays on one side of 1/2."""
    interval = interval_from_sums(cells.sums, level=level, pool_axes=(0,))
    if interval.probability[-1] < 0.5:
        below = cells.alpha[interval.upper < 0.5]
        bound = below[-1] if below.size else -np.inf
        return bound, np.inf, f"P stays below 1/2 up to alpha = {cells.alpha[-1]:g}; larger alphas are needed"
    above = cells.alpha[interval.lower > 0.5]
    bound = above[0] if above.size else np.inf
    return -np.inf, bound, f"P exceeds 1/2 from alpha = {cells.alpha[0]:g} on; smaller alphas are needed"
