"""Data collapse: one curve for all sizes when P is plotted against ``(alpha - alpha_c) N^(1/nu)``.

Two measures. The quality S of Houdayer and Hartmann (Phys. Rev. B 70 (2004) 014418) compares every point with
the other sizes near it and is about 1 at the optimum of data that collapse. The smooth version fits one
cubic spline ``f(x)``, on request with a leading correction ``f(x) + N^-omega g(x)``, and minimises
chi-squared; its quality is chi-squared per degree of freedom. Errors are by bootstrap over instances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.optimize import minimize

from phasepipe.analysis.counts import Cells, FloatArray, cells_by_size
from phasepipe.analysis.intervals import overdispersion

WINDOW = (0.02, 0.98)  # flat tails collapse whatever alpha_c and nu are, and only dilute the quality
OVERLAP = 0.6  # least share of points with neighbours of other sizes; S of a few points means nothing
INVERSE_NU = (0.02, 2.0)
OMEGA = (0.05, 3.0)
INNER_KNOTS = 4
FAILED = 1e6  # objective where a collapse is not defined

Objective = Callable[[FloatArray, FloatArray], float]  # (parameters, probability) -> what is minimised


@dataclass(frozen=True)
class Collapse:
    """Best collapse. Intervals are percentiles of a bootstrap over instances."""

    method: str  # "quality S" or "spline" or "spline with correction"
    alpha_c: float
    alpha_c_interval: tuple[float, float]
    inverse_nu: float
    inverse_nu_interval: tuple[float, float]
    omega: float  # correction exponent; NaN without correction
    omega_interval: tuple[float, float]
    quality: float  # about 1 if the data collapse
    points: pd.DataFrame  # N, alpha, probability, error, scaled, entered, reason
    replicates: int

    @property
    def entered(self) -> int:
        """Number of points behind the quality."""
        return int(self.points["entered"].sum())


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


def fit_collapse(
    counts: pd.DataFrame,
    *,
    rng: np.random.Generator,
    window: tuple[float, float] = WINDOW,
    replicates: int = 200,
    level: float = 0.95,
) -> Collapse:
    """Collapse with the least quality S.

    Parameters
    ----------
    counts
        Tidy counts of at least two sizes.
    rng
        For the bootstrap.
    window
        Success probabilities that enter.
    replicates
        Bootstrap replicates.
    level
        Nominal coverage of the intervals.

    Raises
    ------
    ValueError
        If fewer than two sizes have two points in the window, or no parameters bring them to overlap.
    """
    points = _Points.of(counts, window)

    def objective(parameters: FloatArray, probability: FloatArray) -> float:
        quality, entered = collapse_quality(
            points.scaled(parameters), probability, points.error, points.group
        )
        return quality if entered.mean() >= OVERLAP else FAILED

    best, intervals = _optimise(points, objective, [], rng, replicates, level)
    quality, entered = collapse_quality(points.scaled(best), points.probability, points.error, points.group)
    return points.result("quality S", best, intervals, quality, entered, replicates)


def fit_smooth_collapse(
    counts: pd.DataFrame,
    *,
    rng: np.random.Generator,
    correction: bool = False,
    window: tuple[float, float] = WINDOW,
    replicates: int = 100,
    level: float = 0.95,
) -> Collapse:
    """Collapse on a cubic spline with the least chi-squared; arguments as in :func:`fit_collapse`.

    ``correction`` adds ``N^-omega g(x)`` with a cubic ``g`` and fits omega.
    """
    points = _Points.of(counts, window)
    parameters = 2 + correction + (INNER_KNOTS + 4) + 4 * correction
    if len(points.alpha) <= parameters:
        raise ValueError(
            f"{len(points.alpha)} points have {window[0]:g} <= P <= {window[1]:g}; "
            f"a smooth collapse with {parameters} parameters needs more; add alphas near the transition"
        )

    def objective(theta: FloatArray, probability: FloatArray) -> float:
        return _spline_chi2(points, theta, probability)

    best, intervals = _optimise(points, objective, [0.5] if correction else [], rng, replicates, level)
    quality = objective(best, points.probability) / (len(points.alpha) - parameters)
    entered = np.ones(len(points.alpha), dtype=bool)
    method = "spline with correction" if correction else "spline"
    return points.result(method, best, intervals, quality, entered, replicates)


@dataclass(frozen=True)
class _Points:
    """Points of all sizes in the window, and the table of all points to report on."""

    sizes: list[Cells]
    kept: NDArray[np.bool_]
    table: pd.DataFrame
    N: FloatArray
    alpha: FloatArray
    probability: FloatArray
    error: FloatArray
    group: NDArray[np.int64]

    @classmethod
    def of(cls, counts: pd.DataFrame, window: tuple[float, float]) -> _Points:
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
        return cls(sizes, kept, table, N, alpha, y, error, group)

    def scaled(self, parameters: FloatArray) -> FloatArray:
        return np.asarray((self.alpha - parameters[0]) * self.N ** parameters[1])

    def resample(self, rng: np.random.Generator, replicates: int) -> FloatArray:
        """Success probabilities of the points in bootstrap replicates, shape (replicates, point)."""
        draws = [cells.resample(rng, replicates) for cells in self.sizes]
        return np.concatenate([recovered / runs for recovered, runs in draws], axis=1)[:, self.kept]

    def result(
        self,
        method: str,
        best: FloatArray,
        intervals: list[tuple[float, float]],
        quality: float,
        entered: NDArray[np.bool_],
        replicates: int,
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
            points=table,
            replicates=replicates,
        )


def _spline_chi2(points: _Points, theta: FloatArray, probability: FloatArray) -> float:
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
    target = probability / points.error
    solution = np.linalg.lstsq(design, target, rcond=1e-10)[0]
    return float(np.sum((target - design @ solution) ** 2))


def _basis(x: FloatArray, inner: FloatArray) -> FloatArray:
    knots = np.concatenate([np.zeros(4), inner, np.ones(4)])
    return np.asarray(BSpline.design_matrix(x, knots, 3).toarray())


def _optimise(
    points: _Points,
    objective: Objective,
    extra: list[float],
    rng: np.random.Generator,
    replicates: int,
    level: float,
) -> tuple[FloatArray, list[tuple[float, float]]]:
    """Best parameters and their bootstrap percentiles."""
    span = np.ptp(points.alpha)
    bounds = [
        (points.alpha.min() - 2 * span, points.alpha.max() + 4 * span),
        INVERSE_NU,
        *([OMEGA] * len(extra)),
    ]
    starts = [
        np.array([alpha_c, inverse_nu, *extra])
        for alpha_c in np.linspace(points.alpha.min() - span, points.alpha.max() + 2 * span, 25)
        for inverse_nu in np.geomspace(0.05, 1.0, 9)
    ]
    values = np.array([objective(start, points.probability) for start in starts])
    if values.min() >= FAILED:
        raise ValueError(
            "no alpha_c and nu bring the sizes to overlap; "
            "sizes need points at similar P: add alphas near each alpha_50"
        )

    def polish(start: FloatArray, probability: FloatArray, iterations: int) -> FloatArray:
        simplex = start + np.vstack([np.zeros(len(start)), np.diag([0.05 * span, *(0.1 * start[1:])])])
        options = {"initial_simplex": simplex, "maxiter": iterations, "xatol": 1e-4, "fatol": 1e-5}
        found = minimize(  # type: ignore[call-overload]  # the stubs know no initial_simplex
            lambda parameters: objective(parameters, probability),
            start,
            method="Nelder-Mead",
            bounds=bounds,
            options=options,
        )
        return np.asarray(found.x)

    candidates = [polish(starts[index], points.probability, 300) for index in np.argsort(values)[:3]]
    best = min(candidates, key=lambda parameters: objective(parameters, points.probability))
    draws = np.array([polish(best, probability, 150) for probability in points.resample(rng, replicates)])
    tail = (1 - level) / 2
    lower, upper = (
        np.quantile(draws, [tail, 1 - tail], axis=0) if replicates else (best * np.nan, best * np.nan)
    )
    return best, [(float(low), float(high)) for low, high in zip(lower, upper, strict=True)]
