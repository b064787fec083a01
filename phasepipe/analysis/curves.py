"""Success curves in alpha, one estimator for every system size: alpha_50, quartile width, their intervals.

The curve is the monotone one of :mod:`~phasepipe.analysis.monotone`; alpha_50 is where it passes 1/2, the
width is ``alpha_75 - alpha_25``, where it passes the quartiles: neither rests on a parametric family. Cells
enter by the quasi-likelihood, with runs divided by the design effect, so that intervals respect the
correlation of starts. Estimates are posterior medians, intervals posterior quantiles; what they cover is
measured in docs/evidence/scaling-coverage.md. Where the data do not contain the crossing, that is the answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from phasepipe.analysis.counts import Cells, FloatArray, cells_by_size
from phasepipe.analysis.intervals import interval_from_sums, overdispersion
from phasepipe.analysis.monotone import posterior_curves, weighted_quantiles
from phasepipe.variables import CURVES, labelled

# of the intervals of a size to which runs were added until its interval was short enough: those that are too
# short by chance end the rounds too early, and covered 93 % (docs/evidence/scaling-coverage.md)
WIDENING = 1.12


class CurveStatus(StrEnum):
    """What became of the fit of one success curve."""

    FITTED = "fitted"
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
    alpha_50_model: float  # standard deviation over the shapes that the data allow, part of the error
    width: float
    width_lower: float
    width_upper: float
    width_model: float
    alpha: FloatArray  # (edge,), where the curve is tabulated
    tabulated: FloatArray  # (edge,)
    tabulated_band: tuple[FloatArray, FloatArray]
    goodness: float  # p value of the lack-of-fit test; NaN without degrees of freedom
    correlation: float
    level: float
    cells: Cells

    @property
    def alpha_50_error(self) -> float:
        """Standard error of alpha_50: half the interval over the normal quantile."""
        return _error(self.alpha_50_lower, self.alpha_50_upper, self.level)

    @property
    def width_error(self) -> float:
        """Standard error of the width: half the interval over the normal quantile."""
        return _error(self.width_lower, self.width_upper, self.level)

    def probability(self, alpha: FloatArray) -> FloatArray:
        """Fitted success probability at ``alpha``, in the grid or up to half its length beside it."""
        return np.interp(alpha, self.alpha, self.tabulated)

    def band(self, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Pointwise interval of the fitted curve at ``alpha``."""
        lower, upper = (np.interp(alpha, self.alpha, ends) for ends in self.tabulated_band)
        return lower, upper


def fit_curves(counts: pd.DataFrame, *, level: float = 0.95, steered: Collection[int] = ()) -> list[CurveFit]:
    """Fit the success curve of every system size.

    Parameters
    ----------
    counts
        Tidy counts (:func:`~phasepipe.analysis.counts.tidy_counts`).
    level
        Nominal coverage of the intervals.
    steered
        Sizes to which runs were added until alpha_50 was known well enough (key ``precision``). Their
        intervals of alpha_50 and width are wider by the factor WIDENING.

    Returns
    -------
    list of CurveFit
        In ascending order of N. The same counts give the same numbers: nothing is random in it.

    Raises
    ------
    ValueError
        If a size has a single alpha, or the counts are not valid.
    """
    return [fit_curve(cells, level=level, steered=cells.N in steered) for cells in cells_by_size(counts)]


def curve_table(fits: list[CurveFit]) -> xr.Dataset:
    """Results of the fits as labelled arrays over N; ``status`` is text."""
    columns = {
        name: [str(getattr(fit, name)) if variable.dtype == "str" else getattr(fit, name) for fit in fits]
        for name, variable in CURVES.items()
    }
    table = xr.Dataset(
        {name: ("N", np.array(values)) for name, values in columns.items()}, {"N": [fit.N for fit in fits]}
    )
    return labelled(table, CURVES)


def fit_curve(cells: Cells, *, level: float = 0.95, steered: bool = False) -> CurveFit:
    """Fit the success curve of one system size; see :func:`fit_curves`."""
    fit = _fitted(cells, level)
    return _widened(fit) if steered else fit


def _widened(fit: CurveFit) -> CurveFit:
    lower, upper = fit.alpha_50_lower, fit.alpha_50_upper
    if np.isfinite(fit.alpha_50):
        lower, upper = (fit.alpha_50 + WIDENING * (end - fit.alpha_50) for end in (lower, upper))
    narrow, wide = fit.width_lower, fit.width_upper
    if np.isfinite(fit.width):
        narrow, wide = (fit.width + WIDENING * (end - fit.width) for end in (narrow, wide))
    return replace(
        fit,
        alpha_50_lower=lower,
        alpha_50_upper=upper,
        width_lower=max(narrow, 0.0) if fit.width_lower >= 0 else narrow,
        width_upper=wide,
    )


def _fitted(cells: Cells, level: float) -> CurveFit:
    if len(cells) < 2:
        raise ValueError(
            f"N = {cells.N} has the single alpha = {cells.alpha[0]:g}; "
            "a success curve needs at least 2, better 5"
        )
    dispersion = overdispersion(cells.sums, pool_axes=(0,))
    recovered = cells.sums.recovered / dispersion.design_effect
    runs = cells.sums.runs / dispersion.design_effect
    curves = posterior_curves(cells.alpha, recovered, runs, float(np.max(dispersion.degrees_of_freedom)))
    shares = [(1 - level) / 2, 0.5, (1 + level) / 2]
    first, middle, last = (curves.crossing(share) for share in (0.25, 0.5, 0.75))
    lower, estimate, upper = weighted_quantiles(middle, curves.weight, shares)
    status, message = CurveStatus.FITTED, ""
    widths = np.full(3, np.nan)
    distance = np.where(np.isfinite(first) & np.isfinite(last), last, np.inf) - np.where(
        np.isfinite(first), first, 0.0
    )
    if not cells.alpha[0] <= estimate <= cells.alpha[-1]:
        status = CurveStatus.NOT_BRACKETED
        lower, upper, message = _not_bracketed(cells, estimate, level)
        estimate = np.nan
    elif not (np.isfinite(lower) and np.isfinite(upper)):
        status = CurveStatus.UNRESOLVED
        message = "P does not rise clearly enough with alpha to bound alpha_50; more instances are needed"
    else:
        widths = weighted_quantiles(distance, curves.weight, shares)
        if np.all((recovered < 1) | (runs - recovered < 1)):
            widths[0] = 0.0
            message = "the curve rises between two neighbouring alphas; its width has an upper bound only"
        elif np.isinf(widths[2]):
            message = "the alphas do not reach both quartiles of the curve; its width has a lower bound only"
    known = np.isfinite(widths[1])
    probability = curves.probability()
    return CurveFit(
        N=cells.N,
        status=status,
        message=message,
        alpha_50=float(estimate),
        alpha_50_lower=float(lower),
        alpha_50_upper=float(upper),
        alpha_50_model=curves.spread_of_shapes(middle) if np.isfinite(estimate) else np.nan,
        width=float(widths[1]) if known else np.nan,
        width_lower=float(widths[0]),
        width_upper=float(widths[2]),
        width_model=curves.spread_of_shapes(distance) if known else np.nan,
        alpha=curves.alpha,
        tabulated=probability,
        tabulated_band=curves.band(level),
        goodness=_goodness(
            recovered, runs, np.interp(cells.alpha, curves.alpha, probability), curves.parameters
        ),
        correlation=float(np.fmax.reduce(dispersion.correlation)),  # NaN in cells of single runs
        level=level,
        cells=cells,
    )


def _error(lower: float, upper: float, level: float) -> float:
    return float((upper - lower) / (2 * stats.norm.isf((1 - level) / 2)))


def _goodness(recovered: FloatArray, runs: FloatArray, probability: FloatArray, parameters: float) -> float:
    """P value of Pearson's lack-of-fit test against the variation inside cells.

    Neighbouring cells are merged until a few recoveries and a few failures are expected in each, where
    the chi-squared distribution holds. The smooth curve costs its effective number of parameters.
    """
    merged: list[FloatArray] = []
    sums = np.zeros(3)
    for k, n, p in zip(recovered, runs, probability, strict=True):
        sums = sums + np.array([k, n * p, n * p * (1 - p)])
        if sums[2] >= 2:
            merged.append(sums)
            sums = np.zeros(3)
    freedom = len(merged) - parameters
    if freedom < 0.5:
        return np.nan
    observed, expected, variance = np.array(merged).T
    return float(stats.chi2.sf(np.sum((observed - expected) ** 2 / variance), freedom))


def _not_bracketed(cells: Cells, estimate: float, level: float) -> tuple[float, float, str]:
    """Bounds and message where the curve stays on one side of 1/2."""
    interval = interval_from_sums(cells.sums, level=level, pool_axes=(0,))
    if estimate > cells.alpha[-1]:
        below = cells.alpha[interval.upper < 0.5]
        bound = below[-1] if below.size else -np.inf
        return bound, np.inf, f"P stays below 1/2 up to alpha = {cells.alpha[-1]:g}; larger alphas are needed"
    above = cells.alpha[interval.lower > 0.5]
    bound = above[0] if above.size else np.inf
    return -np.inf, bound, f"P exceeds 1/2 from alpha = {cells.alpha[0]:g} on; smaller alphas are needed"
