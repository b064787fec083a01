"""A success curve that rises with alpha and is otherwise as smooth as the counts ask: posterior curves.

``logit P = beta + integral of exp(g)`` with ``g``, the log slope, a random walk in alpha: the curve cannot
fall, and if the walk does not move it is the logistic curve. How far the walk moves over one quartile width,
the *roughness*, decides between logistic, skewed, heavy-tailed and stepped curves. It is not chosen but
averaged over, by the marginal likelihood of each value and an exponential prior (a penalised-complexity
prior, Simpson et al., Statist. Sci. 32 (2017) 1), so that intervals hold the uncertainty of the shape.

For each roughness the posterior is approximated at its mode by a normal law (Fisher scoring in the space
of the cells, Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 3.4); draws come
by conditioning draws of the prior (Hoffman and Ribak, Astrophys. J. Lett. 380 (1991) L5) and are weighted by
the exact posterior (truncated importance sampling, Ionides, J. Comput. Graph. Stat. 17 (2008) 295).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit, logit, logsumexp

from phasepipe.analysis.counts import FloatArray

ROUGHNESS = np.array([0.1, 0.3, 0.6, 1.0, 1.6, 2.5])  # standard deviation of the log slope over one width
ROUGHNESS_RATE = 0.5  # of the exponential prior: e-fold less likely every 2
LEVEL_SPREAD, SLOPE_SPREAD = 10.0, 3.0  # prior deviations of logit P in mid-grid and of the log slope: wide
SEGMENTS = 64  # of constant slope, over the grid and what lies beside it
DRAWS = 800  # per roughness
NEGLIGIBLE = 2e-3  # weight of a roughness that is left out
QUARTILES = 2 * np.log(3.0)  # distance between the quartiles of the standard logistic distribution
SEED = 0  # the same draws for every curve: an estimate is a function of its counts


@dataclass(frozen=True)
class PosteriorCurves:
    """Weighted draws of a success curve from its posterior."""

    alpha: FloatArray  # (edge,), ascending, beyond the grid on both sides
    logits: FloatArray  # (draw, edge), ascending along edges
    weight: FloatArray  # (draw,), sum 1
    roughness: FloatArray  # (draw,)
    parameters: float  # effective number that the cells determine

    def probability(self) -> FloatArray:
        """Posterior mean of P at the edges, shape (edge,)."""
        return np.asarray(self.weight @ expit(self.logits))

    def band(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Pointwise interval of P at the edges, shape (edge,) each."""
        tail = (1 - level) / 2
        ends = [weighted_quantiles(column, self.weight, [tail, 1 - tail]) for column in self.logits.T]
        lower, upper = expit(np.array(ends)).T
        return lower, upper

    def crossing(self, probability: float) -> FloatArray:
        """Where each draw passes a probability, shape (draw,); infinite beyond the edges."""
        target = logit(probability)
        last = self.logits.shape[1] - 1
        above = (self.logits < target).sum(axis=1)
        right = np.clip(above, 1, last)
        rows = np.arange(len(self.logits))
        low, high = self.logits[rows, right - 1], self.logits[rows, right]
        share = (target - low) / np.maximum(high - low, 1e-300)
        inside = self.alpha[right - 1] + share * (self.alpha[right] - self.alpha[right - 1])
        return np.where(above == 0, -np.inf, np.where(above > last, np.inf, inside))

    def spread_of_shapes(self, values: FloatArray) -> float:
        """Standard deviation, over the roughnesses, of the median of a quantity with one value per draw."""
        medians, weights = [], []
        for value in np.unique(self.roughness):
            chosen = self.roughness == value
            weights.append(self.weight[chosen].sum())
            medians.append(weighted_quantiles(values[chosen], self.weight[chosen], [0.5])[0])
        if not np.isfinite(medians).all():
            return np.nan
        mean = np.average(medians, weights=weights)
        return float(np.sqrt(np.average((np.array(medians) - mean) ** 2, weights=weights)))


def weighted_quantiles(values: FloatArray, weight: FloatArray, shares: list[float]) -> FloatArray:
    """Quantiles of weighted draws, shape of ``shares``; values may be infinite."""
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    position = np.searchsorted(below / below[-1], shares)
    return np.asarray(values[order][np.minimum(position, len(values) - 1)])


def posterior_curves(
    alpha: FloatArray, recovered: FloatArray, runs: FloatArray, freedom: float = np.inf
) -> PosteriorCurves:
    """Draws of the success curve through the cells of one size.

    Parameters
    ----------
    alpha
        Ascending, shape (cell,), at least two.
    recovered, runs
        Divided by the design effect, shape (cell,).
    freedom
        Degrees of freedom of the design effect: draws are spread like Student's t.
    """
    centre, scale = (alpha[0] + alpha[-1]) / 2, np.ptp(alpha) / 2
    cells = _Cells.of((alpha - centre) / scale, recovered, runs)
    modes = _modes(cells)
    generator = np.random.default_rng(SEED)
    stretch = np.ones(DRAWS)
    if np.isfinite(freedom):
        stretch = np.tile(np.sqrt(freedom / generator.chisquare(freedom, size=DRAWS // 2)), 2)
    logits, weights = [], []
    used = np.flatnonzero(modes.log_evidence - logsumexp(modes.log_evidence) > np.log(NEGLIGIBLE))
    for index in used:
        drawn, importance = _draw(cells, modes, int(index), generator, stretch)
        logits.append(drawn)
        weights.append(importance)
    log_weight = np.concatenate(weights)
    weight = np.exp(log_weight - logsumexp(log_weight))
    share = weight.reshape(len(used), DRAWS).sum(axis=1)
    return PosteriorCurves(
        alpha=centre + scale * cells.edges,
        logits=np.concatenate(logits),
        weight=weight,
        roughness=np.repeat(ROUGHNESS[used], DRAWS),
        parameters=float(share @ modes.parameters[used]),
    )


@dataclass(frozen=True)
class _Cells:
    """Counts, and the linear maps from slopes of segments to logits at cells and at edges.

    A state holds level, log slope and the increments of the walk in units of their prior deviations, shape
    (..., 2 + segment), so that its prior is standard normal.
    """

    recovered: FloatArray
    runs: FloatArray
    edges: FloatArray  # (edge,), in units of half the grid from its middle
    at_cells: FloatArray  # (cell, segment)
    at_edges: FloatArray  # (edge, segment)
    walk: FloatArray  # (segment, increment), at roughness 1
    log_slope: float  # prior mean

    @classmethod
    def of(cls, u: FloatArray, recovered: FloatArray, runs: FloatArray) -> _Cells:
        gap = float(np.min(np.diff(u)))
        # between a width of half a gap and one of twice the grid: only the unit of roughness hangs on it
        slope = float(np.clip(_logistic_slope(u, recovered, runs), QUARTILES / 4, 2 * QUARTILES / gap))
        width = QUARTILES / slope
        reach = 1 + max(1.0, 2 * width)
        edges = np.linspace(-reach, reach, SEGMENTS + 1)
        half, step = SEGMENTS // 2, edges[1] - edges[0]
        right = np.tril(np.ones((half, half))) * np.sqrt(step / width)
        right[:, 0] *= np.sqrt(0.5)  # from the middle of the grid to the middle of the first segment
        walk = np.zeros((SEGMENTS, SEGMENTS))
        walk[half:, half:], walk[:half, :half] = right, right[::-1, ::-1]
        return cls(
            recovered, runs, edges, _overlaps(u, edges), _overlaps(edges, edges), walk, float(np.log(slope))
        )

    def slopes(self, state: FloatArray, roughness: FloatArray) -> FloatArray:
        """Slope of every segment, shape (..., segment)."""
        walked = self.log_slope + SLOPE_SPREAD * state[..., 1:2] + roughness * (state[..., 2:] @ self.walk.T)
        return np.asarray(np.exp(np.clip(walked, -30, 30)))

    def logits_and_jacobian(self, state: FloatArray, roughness: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logits at the cells, and their derivative: (batch, cell) and (batch, cell, 2 + segment)."""
        area = self.at_cells * self.slopes(state, roughness)[:, None, :]
        level = np.full((*area.shape[:2], 1), LEVEL_SPREAD)
        jacobian = [
            level,
            SLOPE_SPREAD * area.sum(-1, keepdims=True),
            roughness[:, :, None] * (area @ self.walk),
        ]
        return LEVEL_SPREAD * state[:, :1] + area.sum(-1), np.concatenate(jacobian, axis=-1)

    def log_likelihood(self, logits: FloatArray) -> FloatArray:
        terms = self.recovered * log_expit(logits) + (self.runs - self.recovered) * log_expit(-logits)
        return np.asarray(terms.sum(-1))


@dataclass(frozen=True)
class _Modes:
    """Posterior mode for every roughness, and the normal approximation there."""

    state: FloatArray  # (roughness, 2 + segment)
    value: FloatArray  # (roughness,) log posterior
    jacobian: FloatArray  # (roughness, cell, 2 + segment)
    root: FloatArray  # (roughness, cell) root of the Fisher information on each logit
    matrix: FloatArray  # (roughness, cell, cell): 1 + root * covariance of the prior * root
    log_evidence: FloatArray  # (roughness,)
    parameters: FloatArray  # (roughness,) effective number of parameters


def _modes(cells: _Cells) -> _Modes:
    rough = ROUGHNESS[:, None]
    state = np.zeros((len(rough), 2 + SEGMENTS))
    logits, jacobian = cells.logits_and_jacobian(state, rough)
    value = cells.log_likelihood(logits)
    damping = np.ones(len(rough))
    for _ in range(100):
        information, root, matrix = _information(cells, logits, jacobian)
        score = cells.recovered - cells.runs * expit(logits)
        target = np.einsum("rcs,rs->rc", jacobian, state) + score / information
        solved = root * np.linalg.solve(matrix, (root * target)[..., None])[..., 0]
        step = np.einsum("rcs,rc->rs", jacobian, solved) - state
        trial = state + damping[:, None] * step
        trial_logits, trial_jacobian = cells.logits_and_jacobian(trial, rough)
        trial_value = cells.log_likelihood(trial_logits) - 0.5 * (trial**2).sum(-1)
        better = trial_value >= value - 1e-12
        gain = np.where(better, trial_value - value, np.inf)
        state = np.where(better[:, None], trial, state)
        logits = np.where(better[:, None], trial_logits, logits)
        jacobian = np.where(better[:, None, None], trial_jacobian, jacobian)
        value = np.where(better, trial_value, value)
        damping = np.where(better, np.minimum(1.0, 2 * damping), damping / 4)
        if np.all((gain < 1e-6) | (damping < 1e-5)):
            break
    _, root, matrix = _information(cells, logits, jacobian)
    prior = -ROUGHNESS_RATE * ROUGHNESS + np.log(np.gradient(ROUGHNESS))
    return _Modes(
        state=state,
        value=value,
        jacobian=jacobian,
        root=root,
        matrix=matrix,
        log_evidence=value - 0.5 * np.linalg.slogdet(matrix)[1] + prior,
        parameters=matrix.shape[-1] - np.trace(np.linalg.inv(matrix), axis1=-2, axis2=-1),
    )


def _information(
    cells: _Cells, logits: FloatArray, jacobian: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    probability = expit(logits)
    information = np.maximum(cells.runs * probability * (1 - probability), 1e-9)
    root = np.sqrt(information)
    covariance = jacobian @ np.swapaxes(jacobian, -1, -2)
    return information, root, np.eye(logits.shape[-1]) + root[:, :, None] * covariance * root[:, None, :]


def _draw(
    cells: _Cells, modes: _Modes, index: int, generator: np.random.Generator, stretch: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Logits at the edges, shape (draw, edge), and the logarithm of the weight of each draw."""
    jacobian, root, rough = modes.jacobian[index], modes.root[index], ROUGHNESS[index : index + 1]
    normal = generator.standard_normal((DRAWS // 2, 2 + SEGMENTS + len(root)))
    # antithetic pairs: the normal approximation contributes no noise to the middle of an interval
    prior, noise = np.split(np.concatenate([normal, -normal]), [2 + SEGMENTS], axis=1)
    innovation = root * (prior @ jacobian.T) + noise
    deviation = prior - (root * np.linalg.solve(modes.matrix[index], innovation.T).T) @ jacobian
    state = modes.state[index] + deviation
    at_cells = LEVEL_SPREAD * state[:, :1] + cells.slopes(state, rough) @ cells.at_cells.T
    exact = cells.log_likelihood(at_cells) - 0.5 * (state**2).sum(-1) - modes.value[index]
    approximate = -0.5 * (deviation**2).sum(-1) - 0.5 * ((root * (deviation @ jacobian.T)) ** 2).sum(-1)
    log_ratio = exact - approximate
    mean = logsumexp(log_ratio) - np.log(DRAWS)
    log_ratio = np.minimum(log_ratio, mean + 0.5 * np.log(DRAWS))
    spread = modes.state[index] + stretch[:, None] * deviation
    logits = LEVEL_SPREAD * spread[:, :1] + cells.slopes(spread, rough) @ cells.at_edges.T
    return logits, modes.log_evidence[index] + log_ratio


def _overlaps(points: FloatArray, edges: FloatArray) -> FloatArray:
    """Signed length of each segment between 0 and each point, shape (point, segment)."""
    low, high = edges[:-1], edges[1:]
    right = np.clip(points[:, None], np.maximum(low, 0), np.maximum(high, 0)) - np.maximum(low, 0)
    left = np.minimum(high, 0) - np.clip(points[:, None], np.minimum(low, 0), np.minimum(high, 0))
    return np.asarray(right - left)


def _logistic_slope(u: FloatArray, recovered: FloatArray, runs: FloatArray) -> float:
    """Slope of a logistic fit with a weak ridge, which keeps it finite where the curve is a step."""
    design, beta = np.stack([np.ones_like(u), u], axis=-1), np.zeros(2)
    for _ in range(50):
        probability = expit(design @ beta)
        weight = runs * probability * (1 - probability) + 1e-9
        information = design.T @ (weight[:, None] * design) + np.eye(2) / LEVEL_SPREAD**2
        score = design.T @ (recovered - runs * probability) - beta / LEVEL_SPREAD**2
        step = np.linalg.solve(information, score)
        step *= min(1.0, 4.0 / max(float(np.abs(design @ step).max()), 1e-9))
        beta = beta + step
        if np.abs(step).max() < 1e-6:
            break
    return float(beta[1])
