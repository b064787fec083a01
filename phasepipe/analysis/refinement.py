"""Propose additional instances at the alphas that reduce the error of alpha_50 most, for every N.

The method is a sequential c-optimal design (Wu, J. Am. Stat. Assoc. 80 (1985) 974). Near alpha_50 the success
curve is approximated by a logistic line, which gives the Fisher information on intercept and slope. Blocks
of new instances add to this information. The block that reduces the standard error of alpha_50 most per
core-second is added repeatedly until the budget is spent. Averaging over the uncertainty of the fit spreads
the alphas, which protects against a wrong initial estimate. Sizes without a crossing come first. New alphas
lie on a lattice of step 2^k / N that does not depend on the estimate, so that repeated proposals meet again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from phasepipe.analysis.counts import FloatArray
from phasepipe.analysis.curves import CurveFit, CurveStatus, fit_curves
from phasepipe.analysis.intervals import overdispersion

Cost = Callable[[int, float], float]  # (N, alpha) -> core-seconds per run

BLOCKS = 200  # maximal number of blocks that the budget is divided into
LEAST_INSTANCES = 8  # at a new alpha: fewer say little about how instances differ
GOAL_BLOCKS = 40  # about as many blocks lead a size to its goal
STEPS_PER_WIDTH = 8  # new alphas lie at least as densely, per quartile width
REACH = 1.5  # largest distance of new alphas from alpha_50, in quartile widths
DRAWS = 32  # samples of the fit parameters for averaging over their uncertainty
BRACKETING = 3  # alphas added to a grid without the crossing


@dataclass(frozen=True)
class Refinement:
    """Proposed runs and the expected reduction of the error."""

    proposal: pd.DataFrame  # N, alpha, instances, starts, core_seconds, purpose ("refine" or "bracket")
    expected: pd.DataFrame  # N, error_before, error_after (standard errors of alpha_50), core_seconds

    @property
    def core_seconds(self) -> float:
        """Total cost of the proposal."""
        return float(self.proposal["core_seconds"].sum())


def propose_refinement(
    counts: pd.DataFrame,
    cost_per_run: Cost,
    budget: float,
    *,
    starts: int | None = None,
    goals: Mapping[int, float] | None = None,
) -> Refinement:
    """Alphas and additional instances per N that most reduce the error of alpha_50 within a budget.

    Parameters
    ----------
    counts
        Tidy counts of the finished sweep.
    cost_per_run
        Core-seconds of one run at (N, alpha).
    budget
        Core-seconds to spend.
    starts
        Runs per new instance; by default the median of the sweep at that N.
    goals
        Standard error of alpha_50 beyond which a size needs nothing more, by N; other sizes get nothing.
        By default the whole budget is spent on all sizes.

    Returns
    -------
    Refinement
        New alphas are multiples of 1/N. The cost never exceeds the budget; the proposal is empty if the
        budget does not suffice for one instance.

    Raises
    ------
    ValueError
        If the budget or a cost is not positive, or as in ``fit_curves``.
    """
    if not (np.isfinite(budget) and budget > 0):
        raise ValueError(f"budget = {budget} is not a positive number of core-seconds; use for example 600")
    return refine_fits(fit_curves(counts), cost_per_run, budget, starts=starts, goals=goals)


def refine_fits(
    curves: Sequence[CurveFit],
    cost_per_run: Cost,
    budget: float,
    *,
    starts: int | None = None,
    goals: Mapping[int, float] | None = None,
) -> Refinement:
    """As :func:`propose_refinement`, from success curves that are already fitted."""
    fits = [fit for fit in curves if goals is None or fit.N in goals]
    designs = [_Design.of(fit, cost_per_run, starts) for fit in fits if _resolved(fit)]
    wanted = np.array([0.0 if goals is None else goals[design.fit.N] for design in designs])
    additions: list[_Addition] = []
    left = budget
    for fit in fits:
        for alpha in [] if _resolved(fit) else _bracketing_alphas(fit):
            runs = _starts(fit, starts)
            price = _cost(cost_per_run, fit.N, alpha, runs)
            instances = min(int(np.median(fit.cells.sums.instances)), int(left / price))
            if instances > 0:
                additions.append(_Addition(fit.N, alpha, instances, runs, instances * price, "bracket"))
                left -= instances * price
    before = [design.error() for design in designs]
    blocks = [left / BLOCKS if goals is None else _block(*pair) for pair in zip(designs, wanted, strict=True)]
    offers = [
        design.best_block(block, goal, left)
        for design, block, goal in zip(designs, blocks, wanted, strict=True)
    ]
    while designs:
        winner = int(np.argmax([gain for gain, _, _ in offers]))
        gain, candidate, instances = offers[winner]
        if gain <= 0:
            break
        design = designs[winner]
        if instances * design.cost[candidate] <= left:  # else the offer is older than the last blocks
            left -= design.add(candidate, instances)
        offers[winner] = design.best_block(blocks[winner], wanted[winner], left)
    for design in designs:
        additions.extend(design.additions())
    proposal = pd.DataFrame(additions, columns=list(_Addition._fields))
    return Refinement(
        proposal=proposal.sort_values(["N", "alpha"], ignore_index=True),
        expected=pd.DataFrame(
            {
                "N": [design.fit.N for design in designs],
                "error_before": before,
                "error_after": [design.error() for design in designs],
                "core_seconds": [float(design.added @ design.cost) for design in designs],
            }
        ),
    )


def _block(design: _Design, goal: float) -> float:
    """Core-seconds of a block of which about GOAL_BLOCKS lead to the goal."""
    sums = design.fit.cells.sums
    spent = float(sums.instances @ np.interp(design.fit.cells.alpha, design.alpha, design.cost))
    return spent * max(design.error() ** 2 / goal**2 - 1, 0.0) / GOAL_BLOCKS


class _Addition(NamedTuple):
    N: int
    alpha: float
    instances: int
    starts: int
    core_seconds: float
    purpose: Literal["refine", "bracket"]


def _resolved(fit: CurveFit) -> bool:
    return fit.status is CurveStatus.FITTED


def exhausted(fit: CurveFit) -> bool:
    """Whether no alpha is left that could bracket the crossing: P exceeds 1/2 down to the smallest alphas."""
    return not _resolved(fit) and not _bracketing_alphas(fit)


def _starts(fit: CurveFit, starts: int | None) -> int:
    per_instance = fit.cells.sums.runs / fit.cells.sums.instances
    return starts if starts is not None else max(1, round(float(np.median(per_instance))))


def _cost(cost_per_run: Cost, N: int, alpha: float, starts: int) -> float:
    seconds = float(cost_per_run(N, alpha))
    if not seconds > 0:
        raise ValueError(
            f"cost_per_run = {seconds} at N = {N}, alpha = {alpha:g} is not positive; give seconds per run"
        )
    return seconds * starts


def _bracketing_alphas(fit: CurveFit) -> list[float]:
    """Alphas to find the crossing: beyond the grid if P stays on one side of 1/2, else the grid itself."""
    alpha = fit.cells.alpha
    if fit.status is not CurveStatus.NOT_BRACKETED:
        return [float(value) for value in alpha]
    steps = max(np.ptp(alpha) / BRACKETING, 1 / fit.N) * np.arange(1, BRACKETING + 1)
    if fit.alpha_50_upper == np.inf:
        new = np.round((alpha[-1] + steps) * fit.N)
    else:
        new = np.maximum(np.round((alpha[0] - steps) * fit.N), 1)
        new = new[new < np.round(alpha[0] * fit.N)]  # 1/N is the smallest alpha
    return [float(value) for value in np.unique(new) / fit.N]


def _lattice(low: float, high: float, step: float, N: int) -> FloatArray:
    """Positive multiples of 2^k / N from ``low`` to ``high``; k is the largest that gives at most a step."""
    coarse = 2.0 ** max(math.floor(math.log2(step * N)), 0) / N
    multiples = np.arange(max(math.ceil(low / coarse), 1), math.floor(high / coarse) + 1)
    return np.asarray(multiples * coarse)


def _line(fit: CurveFit, width: float) -> tuple[FloatArray, FloatArray]:
    """Intercept and slope of the logistic line through alpha_50 and the quartiles, and their covariance.

    The covariance is that of a quasi-binomial generalised linear model through the cells.
    """
    slope = 2 * np.log(3.0) / width
    line = np.array([-slope * fit.alpha_50, slope])
    effect = overdispersion(fit.cells.sums, pool_axes=(0,)).design_effect
    recovered, runs = fit.cells.sums.recovered / effect, fit.cells.sums.runs / effect
    import statsmodels.api as sm  # here, because it takes long to import and few commands need it

    design = sm.add_constant(fit.cells.alpha)
    model = sm.GLM(np.stack([recovered, runs - recovered], axis=-1), design, sm.families.Binomial())
    return line, np.linalg.pinv(-model.hessian(line))


@dataclass
class _Design:
    """Fisher information on one curve, and that added by a new instance at each candidate alpha."""

    fit: CurveFit
    starts: int
    alpha: FloatArray  # (candidate,)
    cost: FloatArray  # (candidate,) core-seconds per instance
    weight: FloatArray  # (draw, candidate) information per instance on the linear predictor
    gradient: FloatArray  # (draw, 2) of alpha_50 in intercept and slope
    information: FloatArray  # (draw, 2, 2)
    scale: (
        float  # ratio of the standard errors of fit and line; the line ignores the uncertainty of the shape
    )
    occupied: NDArray[np.bool_]  # (candidate,) whether the sweep has instances there
    added: FloatArray  # (candidate,) instances

    @classmethod
    def of(cls, fit: CurveFit, cost_per_run: Cost, starts: int | None) -> _Design:
        runs = _starts(fit, starts)
        width = fit.width if np.isfinite(fit.width) else fit.width_lower
        low, high = fit.alpha_50 - REACH * width, fit.alpha_50 + REACH * width
        old = fit.cells.alpha[(fit.cells.alpha >= low) & (fit.cells.alpha <= high)]
        alpha = np.union1d(old, _lattice(low, high, width / STEPS_PER_WIDTH, fit.N))
        rng = np.random.default_rng(0)
        line, covariance = _line(fit, width)
        draws = rng.multivariate_normal(line, covariance, size=DRAWS, method="eigh")
        # discard draws with a small slope, which have no well-defined alpha_50
        intercept, slope = draws[draws[:, 1] > line[1] / 4].T
        predictor = intercept[:, None] + slope[:, None] * alpha
        probability = np.clip(expit(predictor), 1e-9, 1 - 1e-9)
        correlation = fit.correlation if np.isfinite(fit.correlation) else 0.0
        effective = runs / (1 + correlation * (runs - 1))
        design = cls(
            fit=fit,
            starts=runs,
            alpha=alpha,
            cost=np.array([_cost(cost_per_run, fit.N, float(value), runs) for value in alpha]),
            weight=effective * probability * (1 - probability),
            gradient=-np.stack([1 / slope, -intercept / slope**2], axis=-1),
            information=np.broadcast_to(np.linalg.pinv(covariance), (len(slope), 2, 2)).copy(),
            scale=1.0,
            occupied=np.isin(alpha, old),
            added=np.zeros(len(alpha)),
        )
        design.scale = fit.alpha_50_error / design.error()
        return design

    def _variance_and_gain(self, instances: FloatArray) -> tuple[float, FloatArray]:
        """Current variance of alpha_50, and its decrease by ``instances`` new instances at each candidate."""
        covariance = np.linalg.inv(self.information)
        design = np.stack([np.ones_like(self.alpha), self.alpha], axis=-1)
        towards = np.einsum("dp,dpq->dq", self.gradient, covariance)
        variance = np.einsum("dp,dp->d", towards, self.gradient)
        leverage = np.einsum("cp,dpq,cq->dc", design, covariance, design, optimize=True)
        weight = self.weight * instances
        decrease = weight * (towards @ design.T) ** 2 / (1 + weight * leverage)
        return float(variance.mean()), decrease.mean(axis=0)

    def error(self) -> float:
        """Expected standard error of alpha_50."""
        return self.scale * float(np.sqrt(self._variance_and_gain(np.zeros_like(self.alpha))[0]))

    def best_block(self, block: float, wanted: float, left: float) -> tuple[float, int, int]:
        """Best block: decrease of the standard error per core-second, candidate index, and instances.

        The decrease is 0 if the standard error is as wanted, or nothing can be paid.
        """
        least = np.where(self.occupied | (self.added > 0), 1, LEAST_INSTANCES)
        instances = np.maximum(least, np.floor(block / self.cost))
        instances = np.where(instances * self.cost <= left, instances, 0)
        variance, decrease = self._variance_and_gain(instances)
        if self.scale * np.sqrt(variance) <= wanted:
            return 0.0, 0, 0
        gain = (
            (np.sqrt(variance) - np.sqrt(np.maximum(variance - decrease, 0)))
            / np.maximum(instances, 1)
            / self.cost
        )
        best = int(np.argmax(gain))
        return float(gain[best]), best, int(instances[best])

    def add(self, candidate: int, instances: int) -> float:
        """Add a block to the design; returns its cost."""
        design = np.array([1.0, self.alpha[candidate]])
        self.information += instances * self.weight[:, candidate, None, None] * np.outer(design, design)
        self.added[candidate] += instances
        return float(instances * self.cost[candidate])

    def additions(self) -> list[_Addition]:
        """All blocks that were added to the design."""
        return [
            _Addition(
                self.fit.N,
                float(self.alpha[candidate]),
                int(self.added[candidate]),
                self.starts,
                float(self.added[candidate] * self.cost[candidate]),
                "refine",
            )
            for candidate in np.flatnonzero(self.added)
        ]
