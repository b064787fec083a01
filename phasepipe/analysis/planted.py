"""Synthetic success counts with a known answer, to check every estimate of this wing.

Instances differ: the success probability of one instance is beta distributed around that of its
cell, which makes the starts of one instance correlated by exactly the planted amount and keeps the
planted curve exact on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, ndtr

from phasepipe.analysis.counts import FloatArray, tidy_counts


@dataclass(frozen=True)
class PlantedScaling:
    """Truth of a synthetic study: ``P = (1 - lapse) F((alpha - alpha_50(N)) / scale(N) + F^-1(...))``.

    ``alpha_50(N) = alpha_inf + amplitude * shift(N)`` where shift is ``1 / log N``, ``1 / log^2 N`` or
    ``N^-omega``; ``scale(N) = scale * N^-1/nu`` is that of the logistic or normal distribution ``F``.
    """

    alpha_inf: float = 4.0
    amplitude: float = -6.0
    form: Literal["inverse_log", "inverse_log_squared", "power"] = "power"
    omega: float = 0.5
    scale: float = 1.0
    inverse_nu: float = 0.25
    correlation: float = 0.15
    lapse: float = 0.0
    link: Literal["logit", "probit"] = "logit"

    def alpha_50(self, N: ArrayLike) -> FloatArray:
        """Midpoint of the curve without lapse, shape of ``N``."""
        size = np.asarray(N, dtype=float)
        shift = {
            "inverse_log": 1 / np.log(size),
            "inverse_log_squared": 1 / np.log(size) ** 2,
            "power": size**-self.omega,
        }[self.form]
        return np.asarray(self.alpha_inf + self.amplitude * shift)

    def probability(self, N: ArrayLike, alpha: ArrayLike) -> FloatArray:
        """Success probability, shapes broadcast together."""
        distribution = expit if self.link == "logit" else ndtr
        scale = self.scale * np.asarray(N, dtype=float) ** -self.inverse_nu
        return np.asarray((1 - self.lapse) * distribution((np.asarray(alpha) - self.alpha_50(N)) / scale))

    def draw(
        self,
        sizes: Sequence[int],
        alphas: ArrayLike,
        instances: int,
        starts: int,
        rng: np.random.Generator,
    ) -> pd.DataFrame:
        """Tidy counts of one study; ``alphas`` has shape (alpha,) or (N, alpha)."""
        N = np.asarray(sizes)[:, None, None]
        alpha = np.broadcast_to(np.asarray(alphas, dtype=float), (len(sizes), np.shape(alphas)[-1]))[
            :, :, None
        ]
        mean = np.broadcast_to(self.probability(N, alpha), (len(sizes), alpha.shape[1], instances))
        if self.correlation > 0:
            concentration = 1 / self.correlation - 1
            # a beta parameter of zero is not allowed; 1e-12 is a cell that never or always recovers
            inside = np.clip(mean, 1e-12, 1 - 1e-12)
            mean = rng.beta(inside * concentration, (1 - inside) * concentration)
        return tidy_counts(N, alpha, rng.binomial(starts, mean), starts, np.arange(instances))
