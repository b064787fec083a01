"""Maximum quasi-likelihood of success curves, for many data sets or constraints at once.

``P = (1 - lapse) F(design @ beta + offset)`` with ``F`` logistic or normal. A profile likelihood or a
bootstrap needs hundreds of fits of two numbers each; Fisher scoring over a leading batch axis does
them together, where one generalised linear model at a time would take minutes. The tests compare it
with statsmodels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, ndtr, ndtri, xlogy

from phasepipe.analysis.counts import FloatArray

Link = Literal["logit", "probit"]

MAX_ITERATIONS = 60
MAX_STEP = 4.0  # largest change of the linear predictor in one iteration
CONVERGED = 1e-9  # relative change of the deviance
RIDGE = 1e-10  # keeps the information invertible when a curve is a step


@dataclass(frozen=True)
class Distribution:
    """Cumulative distribution that turns the linear predictor into a probability."""

    cumulative: Callable[[FloatArray], FloatArray]
    density: Callable[[FloatArray], FloatArray]
    quantile: Callable[[FloatArray], FloatArray]


DISTRIBUTIONS: dict[Link, Distribution] = {
    "logit": Distribution(
        cumulative=lambda x: np.asarray(expit(x)),
        density=lambda x: np.asarray(expit(x) * expit(-x)),
        quantile=lambda p: np.asarray(np.log(p / (1 - p))),
    ),
    "probit": Distribution(
        cumulative=lambda x: np.asarray(ndtr(x)),
        density=lambda x: np.asarray(np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),
        quantile=lambda p: np.asarray(ndtri(p)),
    ),
}


@dataclass(frozen=True)
class BatchFit:
    """Fits of a batch; leading axis is the batch."""

    coefficients: FloatArray  # (batch, parameter)
    deviance: FloatArray  # (batch,)
    probability: FloatArray  # (batch, cell)
    information: FloatArray  # (batch, parameter, parameter)


def fit_batch(
    design: FloatArray,
    recovered: FloatArray,
    runs: FloatArray,
    *,
    link: Link,
    lapse: FloatArray | float = 0.0,
    offset: FloatArray | float = 0.0,
) -> BatchFit:
    """Maximise the binomial quasi-likelihood of every member of a batch by damped Fisher scoring.

    Parameters
    ----------
    design
        Shape (batch, cell, parameter); axes of length 1 are broadcast.
    recovered, runs
        Shape (batch, cell) or (cell,); divided by the design effect, so not whole numbers.
        Cells with ``runs == 0`` carry no weight.
    lapse
        Share of runs that fail at any alpha, shape (batch,) or a number.
    offset
        Added to the linear predictor, shape (batch, cell), (batch, 1) or a number.

    Notes
    -----
    Where the data are separated (a step from 0 to 1) the slope grows until the deviance no longer
    changes: the fit is then the step to all digits that matter.
    """
    distribution = DISTRIBUTIONS[link]
    batch = np.broadcast_shapes(
        design.shape[:1], recovered.shape[:-1], runs.shape[:-1], np.shape(lapse), np.shape(offset)[:1]
    )[0]
    cells, parameters = design.shape[1:]
    design = np.broadcast_to(design, (batch, cells, parameters))
    recovered, runs = (np.broadcast_to(values, (batch, cells)) for values in (recovered, runs))
    kept = 1 - np.broadcast_to(lapse, (batch,))[:, None]
    shift = np.asarray(offset)
    used = runs > 0
    safe_runs = np.where(used, runs, 1.0)
    safe_recovered = np.where(used, recovered, 0.0)

    def predict(beta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        predictor = np.einsum("bcp,bp->bc", design, beta) + shift
        probability = np.clip(kept * distribution.cumulative(predictor), 1e-12, 1 - 1e-12)
        terms = used * _deviance_terms(safe_recovered, safe_runs, probability)
        return predictor, probability, terms.sum(-1)

    def information_of(predictor: FloatArray, probability: FloatArray) -> tuple[FloatArray, FloatArray]:
        slope = kept * distribution.density(np.clip(predictor, -37, 37))
        variance = probability * (1 - probability)
        weight = used * safe_runs * slope * slope / variance
        score = used * (safe_recovered - safe_runs * probability) * slope / variance
        information = np.einsum("bcp,bc,bcq->bpq", design, weight, design, optimize=False)
        return information, np.einsum("bcp,bc->bp", design, score)

    beta = np.zeros((batch, parameters))
    predictor, probability, deviance = predict(beta)
    damping = np.ones(batch)
    for _ in range(MAX_ITERATIONS):
        information, score = information_of(predictor, probability)
        step = _solve(information, score)
        reach = np.abs(np.einsum("bcp,bp->bc", design, step)).max(-1)
        step *= (damping * np.minimum(1.0, MAX_STEP / np.maximum(reach, 1e-300)))[:, None]
        trial = predict(beta + step)
        better = trial[2] <= deviance
        gain = np.where(better, deviance - trial[2], np.inf)
        beta = np.where(better[:, None], beta + step, beta)
        predictor = np.where(better[:, None], trial[0], predictor)
        probability = np.where(better[:, None], trial[1], probability)
        deviance = np.where(better, trial[2], deviance)
        damping = np.where(better, np.minimum(1.0, 2 * damping), damping / 4)
        if np.all((gain <= CONVERGED * (1 + deviance)) | (damping < 1e-4)):
            break
    information, _ = information_of(predictor, probability)
    return BatchFit(beta, deviance, probability, information)


def _deviance_terms(recovered: FloatArray, runs: FloatArray, probability: FloatArray) -> FloatArray:
    missed = runs - recovered
    return np.asarray(
        2
        * (
            xlogy(recovered, recovered / (runs * probability))
            + xlogy(missed, missed / (runs * (1 - probability)))
        )
    )


def _solve(information: FloatArray, score: FloatArray) -> FloatArray:
    """Solve the scoring equations of one or two parameters."""
    if score.shape[-1] == 1:
        return np.asarray(score / (information[:, 0] + RIDGE))
    a, b, d = information[:, 0, 0] + RIDGE, information[:, 0, 1], information[:, 1, 1] + RIDGE
    determinant = np.maximum(a * d - b * b, 1e-300)
    first = (d * score[:, 0] - b * score[:, 1]) / determinant
    second = (a * score[:, 1] - b * score[:, 0]) / determinant
    return np.stack([first, second], axis=-1)
