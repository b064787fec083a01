"""One form of the dependence on N, fitted by weighted least squares, with profile intervals in closed form.

Every form is written in ``N / N_min``, so that nothing depends on the unit in which sizes are counted. For
given shape (omega, or log(N_min / N0)) a form is linear in limit and amplitude, so chi-squared is known
exactly in every other direction: the profile interval of the limit, the amplitude or a prediction is the
union over shapes of the intervals that remain, and no iteration can fail. Both curved forms become
``a + b log N`` at one end of their shapes; data that allow this end leave the limit unbounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from phasepipe.analysis.counts import FloatArray

Form = Literal["inverse_log", "log_linear", "power"]

FORMS: tuple[Form, ...] = ("inverse_log", "log_linear", "power")
FORMULAS: dict[Form, str] = {
    "inverse_log": "c/log(N/N0)",
    "log_linear": "a + b log N",
    "power": "c N^-omega",
}
# first the end at which a form is a + b log N, last the end at which the shift is gone at the second size
SHAPES: dict[Form, FloatArray] = {
    "inverse_log": np.geomspace(200.0, 0.02, 401),  # log(N_min / N0)
    "log_linear": np.array([np.nan]),
    "power": np.geomspace(0.02, 6.0, 401),  # omega
}
POOR_FIT = 0.01  # p value of chi-squared below which a form is not believed

Interval = tuple[float, float]


@dataclass(frozen=True)
class SizeFit:
    """One form fitted to a quantity over N. ``weight`` is among all forms of an extrapolation.

    ``shape`` is omega of a power law and log(N_min / N0) of the inverse logarithm; NaN for a form without.
    Where the best shape lies at an end of its range, ``at_bound`` says which, shape and amplitude have no
    interval, and a limit that has run away is infinite.
    """

    form: Form
    imposed: bool  # limit imposed, not fitted
    smallest: float  # N_min
    limit: float
    limit_interval: Interval
    amplitude: float  # of the shift at N_min; of a + b log N the slope b
    amplitude_interval: Interval
    shape: float
    shape_interval: Interval
    at_bound: str  # empty inside the range
    intercept: float  # what the curve is computed from: finite also where the limit is not
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
    def omega(self) -> float:
        """Exponent of a power law; NaN of another form."""
        return self.shape if self.form == "power" else np.nan

    @property
    def omega_interval(self) -> Interval:
        """Interval of :attr:`omega`."""
        return self.shape_interval if self.form == "power" else (np.nan, np.nan)

    @property
    def believable(self) -> bool:
        """Whether chi-squared does not reject the form."""
        return not self.goodness < POOR_FIT

    def predict(self, N: ArrayLike) -> FloatArray:
        """Value at sizes ``N``, at least ``N_min``."""
        ratio = np.asarray(N, dtype=float).ravel() / self.smallest
        shift = _shift(self.form, ratio, np.array([self.shape]))[0]
        return np.asarray(self.intercept + self.amplitude * shift).reshape(np.shape(N))


@dataclass(frozen=True)
class SizeModel:
    """Weighted least squares of one form for every shape of a grid (one entry if the form has none)."""

    form: Form
    imposed_limit: float | None
    smallest: float
    shapes: FloatArray  # (shape,)
    coefficients: FloatArray  # (shape, parameter): limit (if free) and amplitude
    covariance: FloatArray  # (shape, parameter, parameter)
    chi2: FloatArray  # (shape,)
    sizes: int
    level: float

    @property
    def best(self) -> int:
        return int(np.argmin(self.chi2))

    @property
    def slack(self) -> FloatArray:
        """How far chi-squared at each shape is below the threshold of the profile interval."""
        return np.asarray(self.chi2[self.best] + stats.chi2.ppf(self.level, 1) - self.chi2)

    def functional(self, vectors: FloatArray, constant: float = 0.0) -> tuple[float, Interval]:
        """Estimate and profile interval of ``constant + vectors[shape] @ coefficients[shape]``."""
        estimates = constant + np.einsum("sp,sp->s", vectors, self.coefficients)
        variance = np.einsum("sp,spq,sq->s", vectors, self.covariance, vectors)
        inside = self.slack >= 0
        reach = np.sqrt(variance[inside] * self.slack[inside])
        lower, upper = float(np.min(estimates[inside] - reach)), float(np.max(estimates[inside] + reach))
        return float(estimates[self.best]), (lower, upper)

    def prediction(self, N: float) -> tuple[float, Interval]:
        """Value and interval at another size."""
        shift = _shift(self.form, np.array([N / self.smallest]), self.shapes)
        if self.imposed_limit is not None:
            return self.functional(shift, self.imposed_limit)
        return self.functional(np.concatenate([np.ones_like(shift), shift], axis=-1))

    def limit(self) -> tuple[float, Interval]:
        """Limit for N to infinity and its interval; infinite where the data allow a + b log N."""
        if self.imposed_limit is not None:
            return self.imposed_limit, (self.imposed_limit, self.imposed_limit)
        if self.form == "log_linear":
            slope, (low, high) = self.functional(np.array([[0.0, 1.0]]))
            return float(np.copysign(np.inf, slope)), (
                float(np.copysign(np.inf, low)),
                float(np.copysign(np.inf, high)),
            )
        estimate, (lower, upper) = self.functional(np.broadcast_to([1.0, 0.0], self.coefficients.shape))
        if self.slack[0] >= 0:
            # a logarithm without limit fits as well: the limit runs away with the shape
            amplitude, variance = self.coefficients[0, 1], self.covariance[0, 1, 1]
            reach = np.sqrt(variance * self.slack[0])
            lower, upper = (
                -np.inf if amplitude + reach > 0 else lower,
                np.inf if amplitude - reach < 0 else upper,
            )
            if self.best == 0:
                estimate = float(np.copysign(np.inf, -amplitude))
        return estimate, (lower, upper)

    def result(self, observations: float = np.inf) -> SizeFit:
        """The best fit with its intervals; ``observations`` as in ``extrapolate``."""
        parameters = self.coefficients.shape[1] + (len(self.shapes) > 1)
        freedom = self.sizes - parameters
        chi2 = float(self.chi2[self.best])
        limit, limit_interval = self.limit()
        last = np.zeros(self.coefficients.shape)
        last[:, -1] = 1
        amplitude, amplitude_interval = self.functional(last)
        shape_interval, at_bound = self._shape_interval()
        if at_bound:
            amplitude_interval = (np.nan, np.nan)
        return SizeFit(
            form=self.form,
            imposed=self.imposed_limit is not None,
            smallest=self.smallest,
            limit=limit,
            limit_interval=limit_interval,
            amplitude=amplitude,
            amplitude_interval=amplitude_interval,
            shape=float(self.shapes[self.best]),
            shape_interval=shape_interval,
            at_bound=at_bound,
            intercept=float(self.coefficients[self.best, 0])
            if self.imposed_limit is None
            else self.imposed_limit,
            chi2=chi2,
            degrees_of_freedom=freedom,
            goodness=float(stats.chi2.sf(chi2, freedom)) if freedom > 0 else np.nan,
            aicc=chi2 + 2 * parameters + 2 * parameters * (parameters + 1) / (observations - parameters - 1),
        )

    def _shape_interval(self) -> tuple[Interval, str]:
        if len(self.shapes) == 1:
            return (np.nan, np.nan), ""
        if self.best == 0:
            return (np.nan, np.nan), "a + b log N fits best"
        if self.best == len(self.shapes) - 1:
            return (np.nan, np.nan), "the shift is gone at the second size"
        inside = np.flatnonzero(self.slack >= 0)
        slow, fast = (0.0, np.inf) if self.form == "power" else (np.inf, 0.0)
        first = slow if inside[0] == 0 else float(self.shapes[inside[0]])
        last = fast if inside[-1] == len(self.shapes) - 1 else float(self.shapes[inside[-1]])
        return (min(first, last), max(first, last)), ""


def _shift(form: Form, ratio: FloatArray, shapes: FloatArray) -> FloatArray:
    """Shift at sizes ``ratio * N_min`` for every shape, shape (shape, size); 1 at N_min where it decays."""
    logarithm = np.log(ratio)
    if form == "power":
        return np.asarray(np.exp(-shapes[:, None] * logarithm))
    if form == "inverse_log":
        return np.asarray(1 / (1 + logarithm / shapes[:, None]))
    return np.broadcast_to(logarithm, (len(shapes), len(ratio)))


def fit_form(
    form: Form, imposed_limit: float | None, N: FloatArray, value: FloatArray, error: FloatArray, level: float
) -> SizeModel:
    """Fit one form to values at ascending sizes N; all arrays have shape (size,)."""
    shapes = SHAPES[form]
    model = _least_squares(form, imposed_limit, shapes, N, value, error, level)
    if len(shapes) > 1:
        # once more, fine over the shapes that the threshold admits
        inside = np.flatnonzero(model.slack >= 0)
        ends = shapes[[max(inside[0] - 1, 0), min(inside[-1] + 1, len(shapes) - 1)]]
        refined = np.union1d(shapes, np.geomspace(float(ends[0]), float(ends[1]), 201))
        refined = refined if form == "power" else refined[::-1]
        model = _least_squares(form, imposed_limit, refined, N, value, error, level)
    return model


def _least_squares(
    form: Form,
    imposed_limit: float | None,
    shapes: FloatArray,
    N: FloatArray,
    value: FloatArray,
    error: FloatArray,
    level: float,
) -> SizeModel:
    shift = _shift(form, N / N[0], shapes)
    columns = [shift] if imposed_limit is not None else [np.ones_like(shift), shift]
    design = np.stack(columns, axis=-1) / error[:, None]
    target = (value - (imposed_limit or 0.0)) / error
    covariance = np.linalg.pinv(np.einsum("snp,snq->spq", design, design), hermitian=True)
    coefficients = np.einsum("spq,snq,n->sp", covariance, design, target)
    residual = target - np.einsum("snp,sp->sn", design, coefficients)
    return SizeModel(
        form=form,
        imposed_limit=imposed_limit,
        smallest=float(N[0]),
        shapes=shapes,
        coefficients=coefficients,
        covariance=covariance,
        chi2=np.sum(residual**2, axis=-1),
        sizes=len(N),
        level=level,
    )


def parameter_count(form: Form, imposed_limit: float | None) -> int:
    """Number of fitted parameters of a form."""
    return 1 + (imposed_limit is None) + (len(SHAPES[form]) > 1)
