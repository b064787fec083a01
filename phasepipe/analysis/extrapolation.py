"""From a quantity at finite N to its limit: which forms fit, what each implies, what cannot be told apart.

``value(N) = limit + amplitude * shift(N)`` with shift ``1 / log(N / N0)`` or ``N^-omega``, the limit free or
imposed by theory, or ``a + b log N`` without limit (docs/explanation/physics.md §8). No form depends on the
unit of N. A curve that was computed without a fit (from the dynamics, say) is held against the same values as
a :class:`GivenCurve`. Nothing here is special to alpha_50: use it for t_BBP, energies, or the width (impose
the limit 0: omega is then 1/nu).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.size_fit import FORMS, Form, Interval, SizeFit, fit_form, parameter_count

PLAUSIBLE = 0.05  # share of the AICc weight above which a form is in the running


@dataclass(frozen=True)
class GivenCurve:
    """A prediction that has no fitted parameter, held against the values of an extrapolation."""

    name: str
    predicted: FloatArray  # (size,)
    chi2: float
    degrees_of_freedom: int
    goodness: float  # p value of chi2


@dataclass(frozen=True)
class Extrapolation:
    """A quantity over N with every form fitted to it."""

    quantity: str
    N: FloatArray
    value: FloatArray
    error: FloatArray
    excluded: FloatArray  # sizes without a value or an error
    level: float
    imposed_limit: float | None
    fits: tuple[SizeFit, ...]
    scan: pd.DataFrame  # form, imposed, N_min, limit, lower, upper, chi2, degrees_of_freedom
    held_out: pd.DataFrame  # form, imposed, N, observed, predicted, lower, upper, z
    imposed_from: str = ""  # which theory imposes the limit

    @property
    def reach(self) -> FloatArray:
        """Half the interval of every value."""
        return np.asarray(stats.norm.isf((1 - self.level) / 2) * self.error)

    @property
    def plausible(self) -> tuple[SizeFit, ...]:
        """Forms with a free limit that fit and hold a share of the weight, best first."""
        free = [fit for fit in self.fits if not fit.imposed and fit.believable]
        weights = _akaike_weights([fit.aicc for fit in free])
        kept = [(weight, fit) for weight, fit in zip(weights, free, strict=True) if weight > PLAUSIBLE]
        return tuple(fit for _, fit in sorted(kept, key=lambda pair: -pair[0]))

    @property
    def limit_range(self) -> Interval:
        """Union of the intervals of the limit over the plausible forms: NaN if there is none.

        Infinite where a plausible form has no limit, or one that the data do not bound.
        """
        intervals = [fit.limit_interval for fit in self.plausible]
        if not intervals:
            return np.nan, np.nan
        return min(lower for lower, _ in intervals), max(upper for _, upper in intervals)

    def hold_against(self, name: str, predicted: ArrayLike) -> GivenCurve:
        """Test a curve that was not fitted: ``predicted`` at the sizes ``N``, shape (size,)."""
        curve = np.broadcast_to(np.asarray(predicted, dtype=float), self.N.shape)
        chi2 = float(np.sum(((self.value - curve) / self.error) ** 2))
        return GivenCurve(name, curve, chi2, len(self.N), float(stats.chi2.sf(chi2, len(self.N))))


def extrapolate(
    N: ArrayLike,
    value: ArrayLike,
    error: ArrayLike,
    *,
    imposed_limit: float | None = None,
    imposed_from: str = "",
    forms: Sequence[Form] = FORMS,
    level: float = 0.95,
    quantity: str = "alpha_50",
    observations: float = np.inf,
) -> Extrapolation:
    """Fit every form to a quantity over N, with the limit free and, if given, imposed.

    Parameters
    ----------
    N, value, error
        Sizes, values and their standard errors, shape (size,). Sizes whose value or error is not finite
        (not bracketed, for instance) are left out and listed in ``excluded``.
    imposed_limit
        Limit from theory, for example alpha_threshold (docs/explanation/physics.md §7).
    imposed_from
        Name of that theory for reports.
    forms
        Forms of the shift.
    level
        Nominal coverage.
    quantity
        Name for reports.
    observations
        Independent observations (instances) behind all values together, for the correction of AICc. It
        vanishes in the limit, because the errors of the values are then known.

    Raises
    ------
    ValueError
        If fewer than two sizes have a value, sizes repeat, or an error is not positive.
    """
    size, y, sigma = (
        np.asarray(column, dtype=float).ravel() for column in np.broadcast_arrays(N, value, error)
    )
    usable = np.isfinite(y) & np.isfinite(sigma)
    excluded = size[~usable]
    order = np.argsort(size[usable])
    size, y, sigma = (column[usable][order] for column in (size, y, sigma))
    _check(size, sigma, excluded, quantity)
    limits = [None] if imposed_limit is None else [None, imposed_limit]
    variants = [
        (form, limit)
        for limit in limits
        for form in forms
        if parameter_count(form, limit) <= len(size) and not (form == "log_linear" and limit is not None)
    ]
    models = [fit_form(form, limit, size, y, sigma, level) for form, limit in variants]
    fits = [model.result(observations) for model in models]
    weights = _akaike_weights([fit.aicc for fit in fits])
    return Extrapolation(
        quantity=quantity,
        N=size,
        value=y,
        error=sigma,
        excluded=excluded,
        level=level,
        imposed_limit=imposed_limit,
        imposed_from=imposed_from,
        fits=tuple(replace(fit, weight=weight) for fit, weight in zip(fits, weights, strict=True)),
        scan=_scan(variants, size, y, sigma, level),
        held_out=_hold_out(variants, size, y, sigma, level),
    )


def _akaike_weights(aicc: Sequence[float]) -> list[float]:
    values = np.array(aicc)
    weights = np.exp(-(values - values.min(initial=np.inf)) / 2)
    return [float(weight) for weight in weights / weights.sum()]


Variants = list[tuple[Form, float | None]]


def _scan(
    variants: Variants, N: FloatArray, value: FloatArray, error: FloatArray, level: float
) -> pd.DataFrame:
    """Limit against the smallest size kept, as long as a degree of freedom is left."""
    rows = []
    for form, imposed in variants:
        for first in range(len(N) - parameter_count(form, imposed)):
            fit = fit_form(form, imposed, N[first:], value[first:], error[first:], level).result()
            lower, upper = fit.limit_interval
            rows.append(
                (form, fit.imposed, N[first], fit.limit, lower, upper, fit.chi2, fit.degrees_of_freedom)
            )
    columns = ["form", "imposed", "N_min", "limit", "lower", "upper", "chi2", "degrees_of_freedom"]
    return pd.DataFrame(rows, columns=columns).astype({"imposed": bool})  # also where there are no rows


def _hold_out(
    variants: Variants, N: FloatArray, value: FloatArray, error: FloatArray, level: float
) -> pd.DataFrame:
    """Prediction of the largest size from the others; z is in combined standard errors."""
    quantile = stats.norm.isf((1 - level) / 2)
    rows = []
    for form, imposed in variants:
        if len(N) - 1 < parameter_count(form, imposed):
            continue
        predicted, (lower, upper) = fit_form(form, imposed, N[:-1], value[:-1], error[:-1], level).prediction(
            N[-1]
        )
        spread = np.hypot(error[-1], (upper - lower) / (2 * quantile))
        z = (value[-1] - predicted) / spread
        rows.append((form, imposed is not None, N[-1], value[-1], predicted, lower, upper, z))
    columns = ["form", "imposed", "N", "observed", "predicted", "lower", "upper", "z"]
    return pd.DataFrame(rows, columns=columns).astype({"imposed": bool})  # also where there are no rows


def _check(N: FloatArray, error: FloatArray, excluded: FloatArray, quantity: str) -> None:
    if len(N) < 2:
        without = f" ({len(excluded)} more without a value)" if len(excluded) else ""
        raise ValueError(
            f"{quantity} is known at {len(N)} size{'' if len(N) == 1 else 's'}{without}; "
            "an extrapolation in N needs at least 2, better 5"
        )
    if len(np.unique(N)) < len(N):
        raise ValueError(f"sizes {N.tolist()} repeat; give one {quantity} per N")
    if N[0] <= 0:
        raise ValueError(f"N = {N[0]:g} is not a size; sizes are positive")
    if not np.all(error > 0):
        raise ValueError(
            f"the error of {quantity} at N = {N[np.argmin(error)]:g} is {error.min():g}; it must be positive"
        )
