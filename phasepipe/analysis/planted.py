"""Synthetic success counts with a known answer, drawn from no model that is fitted, to check every estimate.

A run recovers if alpha exceeds its threshold. The threshold is a property of the instance (easy or hard)
plus one of the start, and both may be skewed, bimodal or heavy-tailed: :data:`POPULATIONS` names the
mixtures that the coverage table is about. The success curve is the distribution of all thresholds, known
by quadrature, and is stretched so that alpha_50 and the quartile distance are exactly the planted ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from phasepipe.analysis.counts import FloatArray, tidy_counts

QUADRATURE = 1001  # quantiles of the instance effect behind a planted curve
TABULATED = 4001  # points at which the distribution of thresholds is tabulated

Distribution = Literal[
    "logistic", "normal", "gumbel", "mirrored gumbel", "student", "two kinds", "some never"
]


def _quantile(kind: Distribution, share: FloatArray) -> FloatArray:
    """Quantile of a named distribution, about one wide between quartiles except where it says so."""
    if kind == "two kinds":  # as many easy as hard
        return np.where(share < 0.5, -1.0, 1.0)
    if kind == "some never":  # 15 % recover at no alpha of any grid
        return np.where(share < 0.85, 0.0, 1e3)
    return np.asarray(_frozen(kind).ppf(share))


@cache  # making a frozen distribution costs more than drawing from it
def _frozen(kind: Distribution) -> Any:  # the stubs know no common type of frozen distributions
    return {
        "logistic": stats.logistic(scale=0.5),
        "normal": stats.norm(scale=0.7),
        "gumbel": stats.gumbel_r(scale=0.6),
        "mirrored gumbel": stats.gumbel_l(scale=0.6),
        "student": stats.t(df=2, scale=0.6),
    }[kind]


@dataclass(frozen=True)
class Population:
    """Distributions of thresholds: over starts, and over instances times ``strength``."""

    starts: Distribution
    instances: Distribution
    strength: float

    @cached_property
    def table(self) -> tuple[FloatArray, FloatArray]:
        """Thresholds from -40 to 40, dense around 0, and the share of runs below them."""
        threshold = 40 * np.linspace(-1, 1, TABULATED) ** 3
        effect = self.strength * _quantile(self.instances, (np.arange(QUADRATURE) + 0.5) / QUADRATURE)
        share = _frozen(self.starts).cdf(threshold[:, None] - effect).mean(axis=1)
        return threshold, np.asarray(share)

    def quantile(self, share: ArrayLike) -> FloatArray:
        """Threshold below which a share of all runs lies."""
        threshold, shares = self.table
        return np.asarray(np.interp(np.asarray(share, dtype=float), shares, threshold))

    def of_instances(self, threshold: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Success probability of one instance per entry of ``threshold``, its effect drawn at random."""
        effect = self.strength * _quantile(self.instances, rng.random(threshold.shape))
        with np.errstate(over="ignore"):  # of an instance that never recovers, whose probability is 0
            return np.asarray(_frozen(self.starts).cdf(threshold - effect))


POPULATIONS = {
    "logistic": Population("logistic", "normal", 0.4),
    "skewed": Population("gumbel", "gumbel", 0.4),
    "skewed the other way": Population("mirrored gumbel", "mirrored gumbel", 0.4),
    "easy or hard": Population("logistic", "two kinds", 0.8),
    "heavy tails": Population("logistic", "student", 0.7),
    "some never": Population("gumbel", "some never", 1.0),
}


@dataclass(frozen=True)
class PlantedScaling:
    """Truth of a synthetic study.

    ``alpha_50(N) = alpha_inf + amplitude * shift(N)`` with shift ``1 / log(N / N0)``, ``log N`` or
    ``N^-omega``; ``width(N) = width * N^-1/nu`` between quartiles.
    """

    alpha_inf: float = 4.0
    amplitude: float = -6.0
    form: Literal["inverse_log", "log_linear", "power"] = "power"
    omega: float = 0.5
    unit_size: float = 1.0  # N0
    width: float = 2.2
    inverse_nu: float = 0.25
    population: Population = POPULATIONS["logistic"]

    def alpha_50(self, N: ArrayLike) -> FloatArray:
        """Where half of the runs recover, shape of ``N``."""
        size = np.asarray(N, dtype=float)
        shift = {
            "inverse_log": 1 / np.log(size / self.unit_size),
            "log_linear": np.log(size),
            "power": size**-self.omega,
        }[self.form]
        return np.asarray(self.alpha_inf + self.amplitude * shift)

    def quartile_distance(self, N: ArrayLike) -> FloatArray:
        """Distance in alpha between the quartiles of the success curve, shape of ``N``."""
        return np.asarray(self.width * np.asarray(N, dtype=float) ** -self.inverse_nu)

    def _threshold(self, N: ArrayLike, alpha: ArrayLike) -> FloatArray:
        """alpha in the units of the population."""
        lower, middle, upper = self.population.quantile([0.25, 0.5, 0.75])
        stretched = (np.asarray(alpha) - self.alpha_50(N)) / self.quartile_distance(N)
        return np.asarray(middle + (upper - lower) * stretched)

    def probability(self, N: ArrayLike, alpha: ArrayLike) -> FloatArray:
        """Success probability, shapes broadcast together."""
        threshold, shares = self.population.table
        return np.interp(self._threshold(N, alpha), threshold, shares)

    def shares(self, N: int, alpha: ArrayLike, instances: int, rng: np.random.Generator) -> FloatArray:
        """Success probability of instances drawn at random, shape (alpha, instance)."""
        threshold = self._threshold(N, alpha)
        return self.population.of_instances(
            np.broadcast_to(threshold[:, None], (len(threshold), instances)), rng
        )

    def draw(
        self,
        sizes: Sequence[int],
        alphas: ArrayLike,
        instances: ArrayLike,
        starts: int,
        rng: np.random.Generator,
    ) -> pd.DataFrame:
        """Tidy counts of one study.

        ``alphas`` has shape (alpha,) or (N, alpha), ``instances`` is a number or has the shape of ``alphas``.
        """
        counts = self.draw_counts(sizes, alphas, instances, starts, rng)
        N = np.asarray(sizes)[:, None, None]
        alpha = np.broadcast_to(np.asarray(alphas, dtype=float), counts.shape[:2])[:, :, None]
        taken = np.arange(counts.shape[2]) < np.broadcast_to(instances, counts.shape[:2])[:, :, None]
        return tidy_counts(N, alpha, counts, starts * taken, np.arange(counts.shape[2]))

    def draw_counts(
        self,
        sizes: Sequence[int],
        alphas: ArrayLike,
        instances: ArrayLike,
        starts: int,
        rng: np.random.Generator,
    ) -> FloatArray:
        """Recoveries of every instance, shape (N, alpha, instance); 0 beyond the instances of a cell."""
        most = int(np.max(instances))
        alpha = np.broadcast_to(np.asarray(alphas, dtype=float), (len(sizes), np.shape(alphas)[-1]))
        threshold = self._threshold(np.asarray(sizes)[:, None], alpha)
        everywhere = np.broadcast_to(threshold[:, :, None], (*threshold.shape, most))
        recovered = rng.binomial(starts, self.population.of_instances(everywhere, rng))
        taken = np.arange(most) < np.broadcast_to(instances, threshold.shape)[:, :, None]
        return np.asarray(recovered * taken, dtype=float)
