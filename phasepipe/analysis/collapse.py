"""Data collapse: one curve for all sizes when P is plotted against ``(alpha - alpha_c) N^(1/nu)``.

Two measures. The quality S of Houdayer and Hartmann (Phys. Rev. B 70 (2004) 014418) compares every point with
the other sizes near it and is about 1 at the optimum of data that collapse. The smooth version fits one
cubic spline ``f(x)``, on request with a leading correction ``f(x) + N^-omega g(x)``, and minimises
chi-squared; its quality is chi-squared per degree of freedom, its intervals are those of the profile of
chi-squared. What the intervals cover is measured in docs/evidence/scaling-coverage.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.interpolate import BSpline
from scipy.optimize import minimize

from phasepipe.analysis.collapse_points import Collapse, CollapsePoints
from phasepipe.analysis.counts import FloatArray

WINDOW = (0.02, 0.98)  # flat tails collapse whatever alpha_c and nu are, and only dilute the quality
OVERLAP = 0.6  # least share of points with neighbours of other sizes; S of a few points means nothing
INNER_KNOTS = 4
SPARE = 4  # points beyond the parameters that a smooth collapse asks for
PROFILE = 24  # steps from the best value to the end of its range
FAILED = 1e6  # objective where a collapse is not defined

Objective = Callable[[FloatArray], float]  # parameters -> what is minimised


def collapse_quality(
    x: FloatArray, y: FloatArray, error: FloatArray, group: NDArray[np.int64]
) -> tuple[float, NDArray[np.bool_]]:
    """Quality S of Houdayer and Hartmann, and which points entered.

    Parameters
    ----------
    x, y, error
        Scaled abscissa, ordinate and its standard error, shape (point,).
    group
        System size of each point as an index 0, 1, ...; inside a group x ascends.

    Returns
    -------
    quality, entered
        NaN and all False if no point lies between two points of another size.
    """
    groups = int(group.max()) + 1
    longest = int(np.bincount(group).max())
    table = np.full((groups, longest), np.inf)
    rows = np.zeros((groups, longest), dtype=np.int64)
    for index in range(groups):
        members = np.flatnonzero(group == index)
        table[index, : len(members)] = x[members]
        rows[index, : len(members)] = members
    right = (table[None] <= x[:, None, None]).sum(-1)  # (point, group): first neighbour above
    length = np.isfinite(table).sum(-1)
    valid = (right >= 1) & (right < length) & (group[:, None] != np.arange(groups))
    above = rows[np.arange(groups), np.minimum(right, longest - 1)]
    below = rows[np.arange(groups), np.maximum(right - 1, 0)]
    neighbours = np.concatenate([below, above], axis=1)  # (point, 2 * group)
    weight = np.where(np.concatenate([valid, valid], axis=1), error[neighbours] ** -2.0, 0.0)
    # abscissa relative to the point itself: the master curve is then the intercept of the local line
    u, v = x[neighbours] - x[:, None], y[neighbours]
    k, kx, ky = weight.sum(1), (weight * u).sum(1), (weight * v).sum(1)
    kxx, kxy = (weight * u * u).sum(1), (weight * u * v).sum(1)
    determinant = k * kxx - kx**2
    entered = determinant > 1e-12 * (k * kxx + 1e-300)
    if not entered.any():
        return np.nan, entered
    safe = np.where(entered, determinant, 1.0)
    master = (kxx * ky - kx * kxy) / safe
    variance = kxx / safe
    terms = (y - master) ** 2 / (error**2 + variance)
    return float(terms[entered].mean()), entered


def fit_collapse(counts: pd.DataFrame, *, window: tuple[float, float] = WINDOW) -> Collapse:
    """Collapse with the least quality S, without intervals.

    S compares a point with the straight line through its neighbours: where the points of a size lie far apart
    the curvature between them shifts the optimum by more than the counts scatter, and a bootstrap over
    instances covers the truth in 65 to 95 % only.

    Parameters
    ----------
    counts
        Tidy counts of at least two sizes.
    window
        Success probabilities that enter.

    Raises
    ------
    ValueError
        If fewer than two sizes have two points in the window, or no parameters bring them to overlap.
    """
    points = CollapsePoints.of(counts, window)

    def objective(parameters: FloatArray) -> float:
        quality, entered = collapse_quality(
            points.scaled(parameters), points.probability, points.error, points.group
        )
        return quality if entered.mean() >= OVERLAP else FAILED

    best = _optimum(points, objective, [])
    quality, entered = collapse_quality(points.scaled(best), points.probability, points.error, points.group)
    nothing = [(np.nan, np.nan)] * len(best)
    return points.result("quality S", best, nothing, quality, entered)


def fit_smooth_collapse(
    counts: pd.DataFrame,
    *,
    correction: bool = False,
    window: tuple[float, float] = WINDOW,
    level: float = 0.95,
) -> Collapse:
    """Collapse on a cubic spline with the least chi-squared, and profile intervals.

    Parameters
    ----------
    counts, window
        As in :func:`fit_collapse`.
    correction
        Add ``N^-omega g(x)`` with a cubic ``g`` and fit omega.
    level
        Nominal coverage of the intervals.

    Returns
    -------
    Collapse
        An end of an interval is infinite (of an exponent: 0 or infinite) where chi-squared does not rise
        enough within the range that is searched. A best fit with a parameter at its bound has no intervals.

    Raises
    ------
    ValueError
        As in ``fit_collapse``, or if there are fewer than :data:`SPARE` points more than parameters.
    """
    points = CollapsePoints.of(counts, window)
    parameters = 2 + correction + (INNER_KNOTS + 4) + 4 * correction
    freedom = len(points.alpha) - parameters
    if freedom < SPARE:
        raise ValueError(
            f"{len(points.alpha)} points have {window[0]:g} <= P <= {window[1]:g}; a smooth collapse with "
            f"{parameters} parameters needs at least {parameters + SPARE}; add alphas near the transition"
        )

    def objective(theta: FloatArray) -> float:
        return _spline_chi2(points, theta)

    best = _optimum(points, objective, [0.5] if correction else [])
    chi2 = objective(best)
    # the scatter about the spline, where it exceeds the errors, is taken for the error of the points
    threshold = chi2 + max(1.0, chi2 / freedom) * float(stats.t.isf((1 - level) / 2, freedom)) ** 2
    intervals = [(np.nan, np.nan)] * len(best)
    if not points.at_bound(best):
        intervals = [_profile(points, objective, best, index, threshold) for index in range(len(best))]
    entered = np.ones(len(points.alpha), dtype=bool)
    method = "spline with correction" if correction else "spline"
    return points.result(method, best, intervals, chi2 / freedom, entered)


def _spline_chi2(points: CollapsePoints, theta: FloatArray) -> float:
    x = points.scaled(theta)
    spread = np.ptp(x)
    if not (np.isfinite(spread) and spread > 0):
        return FAILED
    x = (x - x.min()) / spread
    inner = np.quantile(x, np.linspace(0, 1, INNER_KNOTS + 2)[1:-1])
    columns = [_basis(x, inner)]
    if len(theta) > 2:
        relative = (points.N / points.N.min()) ** -theta[2]
        columns.append(relative[:, None] * _basis(x, inner[:0]))
    design = np.concatenate(columns, axis=1) / points.error[:, None]
    target = points.probability / points.error
    solution = np.linalg.lstsq(design, target, rcond=1e-10)[0]
    return float(np.sum((target - design @ solution) ** 2))


def _basis(x: FloatArray, inner: FloatArray) -> FloatArray:
    knots = np.concatenate([np.zeros(4), inner, np.ones(4)])
    return np.asarray(BSpline.design_matrix(x, knots, 3).toarray())


def _optimum(points: CollapsePoints, objective: Objective, extra: list[float]) -> FloatArray:
    """Best parameters: a grid of starts, the best three polished."""
    span = np.ptp(points.alpha)
    starts = [
        np.array([alpha_c, inverse_nu, *extra])
        for alpha_c in np.linspace(points.alpha.min() - span, points.alpha.max() + 2 * span, 25)
        for inverse_nu in np.geomspace(0.05, 1.0, 9)
    ]
    values = np.array([objective(start) for start in starts])
    if values.min() >= FAILED:
        raise ValueError(
            "no alpha_c and nu bring the sizes to overlap; "
            "sizes need points at similar P: add alphas near each alpha_50"
        )
    steps = np.array([0.05 * span, 0.05, 0.2])
    bounds = points.bounds
    candidates = [_polish(objective, starts[index], steps, bounds, 300) for index in np.argsort(values)[:3]]
    return min(candidates, key=objective)


def _polish(
    objective: Objective,
    start: FloatArray,
    steps: FloatArray,
    bounds: list[tuple[float, float]],
    iterations: int,
) -> FloatArray:
    simplex = start + np.vstack([np.zeros(len(start)), np.diag(steps[: len(start)])])
    options = {"initial_simplex": simplex, "maxiter": iterations, "xatol": 1e-4, "fatol": 1e-4}
    found = minimize(  # type: ignore[call-overload]  # the stubs know no initial_simplex
        objective, start, method="Nelder-Mead", bounds=bounds[: len(start)], options=options
    )
    return np.asarray(found.x)


def _profile(
    points: CollapsePoints, objective: Objective, best: FloatArray, index: int, threshold: float
) -> tuple[float, float]:
    """Interval of one parameter: where chi-squared, least over the others, reaches the threshold."""
    bounds = points.bounds
    others = [other for other in range(len(best)) if other != index]
    steps = np.array([0.1 * np.ptp(points.alpha), 0.05, 0.2])[others]
    limits = [bounds[other] for other in others]
    ends = []
    for side, limit in enumerate(bounds[index]):
        end = (-np.inf if index == 0 else 0.0) if side == 0 else np.inf
        at, last, start = best[index], -np.inf, best[others]
        # small steps first: narrow intervals are resolved, wide ones reached
        for value in best[index] + (limit - best[index]) * np.linspace(0, 1, PROFILE + 1)[1:] ** 3:

            def constrained(free: FloatArray, value: float = value) -> float:
                return objective(np.insert(free, index, value))

            start = _polish(constrained, start, steps, limits, 60)
            reached = constrained(start)
            if reached > threshold:
                share = (threshold - last) / (reached - last) if np.isfinite(last) else 1.0
                end = float(at + share * (value - at))
                break
            at, last = value, reached
        ends.append(float(end))
    return ends[0], ends[1]
