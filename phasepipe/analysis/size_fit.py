"""One form of the dependence on N, fitted by weighted least squares, with profile intervals in closed form.

For given omega the form is linear in limit and amplitude, so chi-squared is known exactly in every other
direction: the profile interval of the limit, the amplitude or a prediction is the union over omega of the
intervals that remain, and no iteration can fail.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
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
    def label(self) -> str:
        """Key of the form in tables."""
        return f"{self.form} imposed" if self.imposed else self.form

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
class SizeModel:
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


def fit_form(
    form: Form, imposed_limit: float | None, N: FloatArray, value: FloatArray, error: FloatArray, level: float
) -> SizeModel:
    """Fit one form to values at sizes N; all arrays have shape (size,)."""
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
) -> SizeModel:
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
    return SizeModel(
        form=form,
        imposed_limit=imposed_limit,
        omegas=omegas,
        coefficients=coefficients * scale,
        covariance=covariance * scale[:, :, None] * scale[:, None, :],
        chi2=np.sum(residual**2, axis=-1),
        sizes=len(N),
        level=level,
    )


def parameter_count(form: Form, imposed_limit: float | None) -> int:
    """Number of fitted parameters of a form."""
    return 1 + (imposed_limit is None) + (form == "power")
