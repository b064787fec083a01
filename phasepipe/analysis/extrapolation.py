"""From a quantity at finite N to its limit: which forms fit, what each implies, what cannot be told apart.

``value(N) = limit + amplitude * shift(N)`` with shift ``1 / log N``, ``1 / log^2 N`` or ``N^-omega``
(PHYSICS §8), the limit free or imposed by theory. For given omega the model is linear, so chi-squared is
known in closed form in every other direction: a profile interval of the limit, the amplitude or a
prediction is the union over omega of the intervals that remain, and no iteration can fail. Nothing here is
special to alpha_50: use it for t_BBP, energies, or the width (impose the limit 0: omega is then 1/nu).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from phasepipe.analysis.counts import FloatArray

Form = Literal["inverse_log", "inverse_log_squared", "power"]

FORMS: tuple[Form, ...] = ("inverse_log", "inverse_log_squared", "power")
FORMULAS: dict[Form, str] = {
    "inverse_log": "c/log N",
    "inverse_log_squared": "c/log² N",
    "power": "c N^-omega",
}
OMEGAS = np.geomspace(0.02, 6.0, 401)  # below, N^-omega is c - c omega log N; above, gone at the second size
POOR_FIT = 0.01  # p value of chi-squared below which a form is not believed
PLAUSIBLE = 0.05  # share of the AICc weight above which a form is in the running

Interval = tuple[float, float]


@dataclass(frozen=True)
class SizeFit:
    """One form fitted to a quantity over N. ``weight`` is among all forms of an extrapolation."""

    form: Form
    imposed: bool  # limit imposed, not fitted
    limit: float
    limit_interval: Interval
    amplitude: float
    amplitude_interval: Interval
    omega: float  # NaN for the logarithmic forms
    omega_interval: Interval
    chi2: float
    degrees_of_freedom: int
    goodness: float  # p value of chi2; NaN without degrees of freedom
    aicc: float
    weight: float = np.nan

    @property
    def formula(self) -> str:
        """Readable name of the form."""
        return FORMULAS[self.form]

    @property
    def believable(self) -> bool:
        """Whether chi-squared does not reject the form."""
        return not self.goodness < POOR_FIT

    def predict(self, N: ArrayLike) -> FloatArray:
        """Value at sizes ``N``."""
        omega = np.array([self.omega])
        return np.asarray(
            self.limit + self.amplitude * _shift(self.form, np.asarray(N, dtype=float), omega)[0]
        )


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

    @property
    def plausible(self) -> tuple[SizeFit, ...]:
        """Forms with a free limit that fit and hold a share of the weight, best first."""
        free = [fit for fit in self.fits if not fit.imposed and fit.believable]
        weights = _akaike_weights([fit.aicc for fit in free])
        kept = [(weight, fit) for weight, fit in zip(weights, free, strict=True) if weight > PLAUSIBLE]
        return tuple(fit for _, fit in sorted(kept, key=lambda pair: -pair[0]))

    @property
    def limit_range(self) -> Interval:
        """Union of the intervals of the limit over the plausible forms: NaN if there is none."""
        intervals = [fit.limit_interval for fit in self.plausible]
        if not intervals:
            return np.nan, np.nan
        return min(lower for lower, _ in intervals), max(upper for _, upper in intervals)


def extrapolate(
    N: ArrayLike,
    value: ArrayLike,
    error: ArrayLike,
    *,
    imposed_limit: float | None = None,
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
        Limit from theory, for example alpha_threshold (PHYSICS §7).
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
    variants = [(form, limit) for limit in limits for form in forms if _parameters(form, limit) <= len(size)]
    models = [_fit(form, limit, size, y, sigma, level) for form, limit in variants]
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
        fits=tuple(replace(fit, weight=weight) for fit, weight in zip(fits, weights, strict=True)),
        scan=_scan(variants, size, y, sigma, level),
        held_out=_hold_out(variants, size, y, sigma, level),
    )


@dataclass(frozen=True)
class _Model:
    """Weighted least squares of one form for every omega of a grid (one entry for the logarithmic forms)."""

    form: Form
    imposed_limit: float | None
    omegas: FloatArray  # (omega,)
    coefficients: FloatArray  # (omega, parameter): limit (if free) and amplitude
    covariance: FloatArray  # (omega, parameter, parameter)
    chi2: FloatArray  # (omega,)
    sizes: int
    level: float

    @property
    def best(self) -> int:
        return int(np.argmin(self.chi2))

    @property
    def slack(self) -> FloatArray:
        """How far chi-squared at each omega is below the threshold of the profile interval."""
        return np.asarray(self.chi2[self.best] + stats.chi2.ppf(self.level, 1) - self.chi2)

    def functional(self, vectors: FloatArray, constant: float = 0.0) -> tuple[float, Interval]:
        """Estimate and profile interval of ``constant + vectors[omega] @ coefficients[omega]``."""
        estimates = constant + np.einsum("op,op->o", vectors, self.coefficients)
        variance = np.einsum("op,opq,oq->o", vectors, self.covariance, vectors)
        inside = self.slack >= 0
        reach = np.sqrt(variance[inside] * self.slack[inside])
        lower, upper = float(np.min(estimates[inside] - reach)), float(np.max(estimates[inside] + reach))
        if len(self.omegas) > 1 and inside[0]:
            # a logarithm without limit fits as well: the estimate runs away as omega goes to 0
            runs_up = estimates[0] > estimates[self.best] or (self.best == 0 and estimates[0] > estimates[1])
            lower, upper = (lower, np.inf) if runs_up else (-np.inf, upper)
        return float(estimates[self.best]), (lower, upper)

    def prediction(self, N: float) -> tuple[float, Interval]:
        """Value and interval at another size."""
        shift = _shift(self.form, np.array([N]), self.omegas)
        if self.imposed_limit is not None:
            return self.functional(shift, self.imposed_limit)
        return self.functional(np.concatenate([np.ones_like(shift), shift], axis=-1))

    def limit(self) -> tuple[float, Interval]:
        if self.imposed_limit is not None:
            return self.imposed_limit, (self.imposed_limit, self.imposed_limit)
        return self.functional(np.broadcast_to([1.0, 0.0], self.coefficients.shape))

    def result(self, observations: float = np.inf) -> SizeFit:
        parameters = self.coefficients.shape[1] + (len(self.omegas) > 1)
        freedom = self.sizes - parameters
        chi2 = float(self.chi2[self.best])
        limit, limit_interval = self.limit()
        last = np.zeros(self.coefficients.shape)
        last[:, -1] = 1
        amplitude, amplitude_interval = self.functional(last)
        omega, omega_interval = np.nan, (np.nan, np.nan)
        if len(self.omegas) > 1:
            omega = float(self.omegas[self.best])
            inside = self.omegas[self.slack >= 0]
            omega_interval = (
                0.0 if inside[0] == self.omegas[0] else float(inside[0]),
                np.inf if inside[-1] == self.omegas[-1] else float(inside[-1]),
            )
        return SizeFit(
            form=self.form,
            imposed=self.imposed_limit is not None,
            limit=limit,
            limit_interval=limit_interval,
            amplitude=amplitude,
            amplitude_interval=amplitude_interval,
            omega=omega,
            omega_interval=omega_interval,
            chi2=chi2,
            degrees_of_freedom=freedom,
            goodness=float(stats.chi2.sf(chi2, freedom)) if freedom > 0 else np.nan,
            aicc=chi2 + 2 * parameters + 2 * parameters * (parameters + 1) / (observations - parameters - 1),
        )


def _shift(form: Form, N: FloatArray, omegas: FloatArray) -> FloatArray:
    """Shift at sizes N for every omega, shape (omega, size)."""
    if form == "power":
        return np.asarray(N ** -omegas[:, None])
    power = 1 if form == "inverse_log" else 2
    return np.broadcast_to(np.log(N) ** -power, (len(omegas), len(N)))


def _fit(
    form: Form, imposed_limit: float | None, N: FloatArray, value: FloatArray, error: FloatArray, level: float
) -> _Model:
    omegas = OMEGAS if form == "power" else np.array([np.nan])
    model = _least_squares(form, imposed_limit, omegas, N, value, error, level)
    if form == "power":
        # once more, fine over the omegas that the threshold admits
        inside = np.flatnonzero(model.slack >= 0)
        ends = omegas[[max(inside[0] - 1, 0), min(inside[-1] + 1, len(omegas) - 1)]]
        refined = np.union1d(omegas, np.linspace(ends[0], ends[1], 201))
        model = _least_squares(form, imposed_limit, refined, N, value, error, level)
    return model


def _least_squares(
    form: Form,
    imposed_limit: float | None,
    omegas: FloatArray,
    N: FloatArray,
    value: FloatArray,
    error: FloatArray,
    level: float,
) -> _Model:
    shift = _shift(form, N, omegas)
    # in units of the shift at the smallest size the two columns stay comparable at any omega
    unit = shift[:, :1]
    columns = [shift / unit] if imposed_limit is not None else [np.ones_like(shift), shift / unit]
    design = np.stack(columns, axis=-1) / error[:, None]
    target = (value - (imposed_limit or 0.0)) / error
    covariance = np.linalg.pinv(np.einsum("onp,onq->opq", design, design), hermitian=True)
    coefficients = np.einsum("opq,onq,n->op", covariance, design, target)
    residual = target - np.einsum("onp,op->on", design, coefficients)
    scale = np.ones(coefficients.shape)
    scale[:, -1] = 1 / unit[:, 0]
    return _Model(
        form=form,
        imposed_limit=imposed_limit,
        omegas=omegas,
        coefficients=coefficients * scale,
        covariance=covariance * scale[:, :, None] * scale[:, None, :],
        chi2=np.sum(residual**2, axis=-1),
        sizes=len(N),
        level=level,
    )


def _akaike_weights(aicc: Sequence[float]) -> list[float]:
    values = np.array(aicc)
    weights = np.exp(-(values - values.min(initial=np.inf)) / 2)
    return [float(weight) for weight in weights / weights.sum()]


def _parameters(form: Form, imposed_limit: float | None) -> int:
    return 1 + (imposed_limit is None) + (form == "power")


Variants = list[tuple[Form, float | None]]


def _scan(
    variants: Variants, N: FloatArray, value: FloatArray, error: FloatArray, level: float
) -> pd.DataFrame:
    """Limit against the smallest size kept, as long as a degree of freedom is left."""
    rows = []
    for form, imposed in variants:
        for first in range(len(N) - _parameters(form, imposed)):
            fit = _fit(form, imposed, N[first:], value[first:], error[first:], level).result()
            lower, upper = fit.limit_interval
            rows.append(
                (form, fit.imposed, N[first], fit.limit, lower, upper, fit.chi2, fit.degrees_of_freedom)
            )
    columns = ["form", "imposed", "N_min", "limit", "lower", "upper", "chi2", "degrees_of_freedom"]
    return pd.DataFrame(rows, columns=columns)


def _hold_out(
    variants: Variants, N: FloatArray, value: FloatArray, error: FloatArray, level: float
) -> pd.DataFrame:
    """Prediction of the largest size from the others; z is in combined standard errors."""
    quantile = stats.norm.isf((1 - level) / 2)
    rows = []
    for form, imposed in variants:
        if len(N) - 1 < _parameters(form, imposed):
            continue
        predicted, (lower, upper) = _fit(form, imposed, N[:-1], value[:-1], error[:-1], level).prediction(
            N[-1]
        )
        spread = np.hypot(error[-1], (upper - lower) / (2 * quantile))
        z = (value[-1] - predicted) / spread
        rows.append((form, imposed is not None, N[-1], value[-1], predicted, lower, upper, z))
    columns = ["form", "imposed", "N", "observed", "predicted", "lower", "upper", "z"]
    return pd.DataFrame(rows, columns=columns)


def _check(N: FloatArray, error: FloatArray, excluded: FloatArray, quantity: str) -> None:
    if len(N) < 2:
        without = f" ({len(excluded)} more without a value)" if len(excluded) else ""
        raise ValueError(
            f"{quantity} is known at {len(N)} size{without}; an extrapolation in N needs at least 2, better 5"
        )
    if len(np.unique(N)) < len(N):
        raise ValueError(f"sizes {N.tolist()} repeat; give one {quantity} per N")
    if N[0] < 2:
        raise ValueError(f"N = {N[0]:g} is too small for log N; sizes start at 2")
    if not np.all(error > 0):
        raise ValueError(
            f"the error of {quantity} at N = {N[np.argmin(error)]:g} is {error.min():g}; it must be positive"
        )
