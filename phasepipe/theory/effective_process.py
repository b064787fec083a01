"""One forward pass of the dynamics for N to infinity (docs/explanation/dynamics.md).

The prediction of a sample is a Gaussian field minus a memory term of its own forces. The laws of field and
memory, and the multiplier of the sphere, follow from averages over all samples. The equations are causal: a
step extends the two-time functions by one row, draws the field from response and noise, and advances all
samples. On the time grid they are the exact equations of the flow integrated by the implicit trapezoid rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from phasepipe.physics.losses import Loss
from phasepipe.theory.implicit_step import Anderson, implicit_prediction
from phasepipe.theory.noise import GaussianVariables
from phasepipe.theory.propagator import Propagator
from phasepipe.theory.quadrature import ConvergenceError, Floats
from phasepipe.theory.sample_response import Controls, mean_response, noise_of_mean

_ROUNDS = 40
_KERNELS = 4  # maximal number of computations of the response in a step
_PIVOT = 1e-11  # innovations of the noise below this share of its variance are rounding errors
_CONTROLS = 3
_KERNEL_TOLERANCE = 20  # of the responses, relative to that of the field


@dataclass
class _Trial:
    """State of the current step while it is being solved."""

    n: int
    half: float  # half of the step
    overlap: float
    memory: Floats  # memory term of earlier forces, (samples,)


class EffectiveProcess:
    """All samples and two-time functions up to the current time.

    In two-time functions, rows are times and columns are earlier times.

    Parameters
    ----------
    loss
        Any loss that is even in ``yhat``.
    alpha
        Measurements per dimension.
    variables
        Gaussian variables of the samples; antithetic unless the initial overlap is 0.
    most
        Largest number of times, the first included.
    initial_overlap
        ``m(0)``.
    direction_weight
        Weight of each sample in the equations of a fixed direction, shape (samples,). The default ``z²`` is
        the weight of the signal direction; 1 is that of a direction independent of the labels.
    tolerance
        Accuracy of the solution of a step, relative to the norm of ``w``.

    Attributes
    ----------
    steps
        Index of the current time; later entries of all arrays are unused.
    time, energy, mu, overlap, variance
        Shape (most,): t, ``alpha <l>``, ``alpha <l' yhat>``, m, and ``N E[m²]`` at zero overlap.
    propagator
        Responses of ``w`` and of the fixed direction.
    coefficients
        Coefficients of ``w`` in the variables, without its component along the signal, (most, most + 1).
    yhat
        Predictions at the current time, shape (samples,).
    """

    def __init__(
        self,
        loss: Loss,
        alpha: float,
        variables: GaussianVariables,
        most: int,
        *,
        initial_overlap: float = 0.0,
        direction_weight: Floats | None = None,
        tolerance: float = 3e-5,
    ) -> None:
        self.loss, self.alpha, self.tolerance = loss, alpha, tolerance
        self._variables = variables
        self.z = variables.label
        samples = self.z.size
        weight = self.z**2 if direction_weight is None else direction_weight
        self._weights = np.stack([np.ones(samples), weight])
        self.time, self.energy, self.mu = np.zeros(most), np.zeros(most), np.zeros(most)
        self.overlap, self.variance = np.zeros(most), np.zeros(most)
        self.propagator = Propagator(most)
        self.coefficients, self._noise = np.zeros((most, most + 1)), np.zeros((most, most + 1))
        self._direction_noise = np.zeros((most, most))
        self._force = np.zeros((most, samples))
        self._fields = np.zeros((most, samples), np.float32)
        self._damped = np.zeros((most, samples), np.float32)
        self._correction = 0.0
        self.steps = 0
        self._begin(initial_overlap)

    def _mean(self, values: Floats) -> float:
        return self.alpha * float(np.mean(values))

    def _begin(self, overlap: float) -> None:
        radius = np.sqrt(1 - overlap**2)
        self.coefficients[0, 0] = radius
        self._fields[0] = radius * self._variables.require(1)[0]
        self.yhat = self._fields[0] + overlap * self.z
        force = self._force[0] = self.loss.slope(self.yhat, self.z)
        self._curvature = self.loss.curvature(self.yhat, self.z)
        self._damped[0] = self._curvature  # there is no interval before the start
        self._noise[0, 1] = np.sqrt(self._mean(force**2))
        self._direction_noise[0, 0] = self._mean(self._weights[1] * force**2)
        self.overlap[0], self.variance[0] = overlap, 1.0
        self._observe(0, force)
        self.propagator.begin(self.mu[0] - self.alpha * (self._weights @ self._curvature) / self.z.size)

    def _observe(self, n: int, force: Floats) -> None:
        self.mu[n] = self._mean(force * self.yhat)
        self.energy[n] = self._mean(self.loss.value(self.yhat, self.z))
        self._drift = self.mu[n] * self.overlap[n] - self._pull(force)

    @property
    def amplification(self) -> Floats:
        """Response of the direction to the start up to the current time, shape (steps + 1,)."""
        return self.propagator.start[1, : self.steps + 1]

    @property
    def growth_rate(self) -> float:
        """Current rate of change of ``log(m / sqrt(1 - m²))``; 0 without overlap."""
        m = float(self.overlap[self.steps])
        return abs(self._drift) / max(abs(m) * (1 - m * m), np.finfo(float).tiny) if m else 0.0

    @property
    def descent_rate(self) -> float:
        """Relative rate of decrease of the energy at the start, from ``de/dt = -Lambda(0, 0)``."""
        return self._mean(self._force[0] ** 2) / max(float(self.energy[0]), np.finfo(float).tiny)

    def correlation(self) -> Floats:
        """``C(t, s)`` up to the current time, shape (steps + 1, steps + 1)."""
        w, m = self.coefficients[: self.steps + 1], self.overlap[: self.steps + 1]
        return np.asarray(w @ w.T + np.outer(m, m))

    def advance(self, dt: float) -> None:
        """Advance by one step.

        Raises
        ------
        ConvergenceError
            If the step is too long to be solved; a shorter one may be tried then.
        """
        n = self.steps + 1
        self.time[n] = self.time[n - 1] + dt
        self._predict(n)
        memory = self.propagator.pulse[0, n, :n] @ self._force[:n]
        scale = self._solve(_Trial(n, 0.5 * dt, self._guess_overlap(n), memory))
        self.propagator.scale(n, scale)
        self._measure_variance(n)
        self.steps = n
        self._observe(n, self._force[n])

    def _solve(self, trial: _Trial) -> float:
        """Iterate the implicit step; returns the scale factor of the projection onto the sphere."""
        n, kernels, converged = trial.n, 0, False
        yhat, before = self.yhat, None
        accelerate = Anderson()
        for attempt in range(_ROUNDS):
            scale = self._draw_field(trial)
            field = self._fields[n]
            target = field + trial.overlap * self.z - trial.memory
            own = float(self.propagator.pulse[0, n, n])
            yhat = implicit_prediction(self.loss, target, self.z, own, yhat)
            force = self._force[n] = self.loss.slope(yhat, self.z)
            curvature = self.loss.curvature(yhat, self.z)
            damped = curvature / (1 + own * curvature)
            mu = self._mean(force * yhat)
            if self.overlap[0]:
                trial.overlap = self._newton_overlap(trial, mu, damped)
            change = np.inf if before is None else np.sqrt(np.mean((field - before) ** 2))
            before = field.copy()
            if kernels == 0 or (not converged and (change < self.tolerance or attempt % 4 == 3)):
                self._extend_noise(n)
                self._damped[n] = damped
                moved = self._respond(trial, mu)
                kernels += 1
                converged = moved < _KERNEL_TOLERANCE * self.tolerance or kernels >= _KERNELS
                accelerate = Anderson()
                continue
            guess = self._noise[n].copy()
            self._extend_noise(n)
            if change < self.tolerance and converged:
                self._damped[n], self.yhat, self.overlap[n] = damped, yhat, trial.overlap
                self._curvature = curvature
                return scale
            self._noise[n] = accelerate(guess, self._noise[n])
        raise ConvergenceError(f"the step to t = {self.time[n]:.4g} is too long to be solved")

    def _draw_field(self, trial: _Trial) -> float:
        n = trial.n
        w = self.propagator.pulse[0, n, : n + 1] @ self._noise[: n + 1]
        w[0] += self.propagator.start[0, n] * self.coefficients[0, 0]
        scale = 1 / float(np.sqrt(w @ w + trial.overlap**2))
        trial.overlap *= scale
        self.coefficients[n] = scale * w
        basis = self._variables.require(n + 2)[: n + 2]
        self._fields[n] = self.coefficients[n, : n + 2].astype(np.float32) @ basis
        return scale

    def _guess_overlap(self, n: int) -> float:
        if not self.overlap[0]:
            return 0.0
        if n == 1:
            return float(self.overlap[0] + self.time[1] * self._drift)
        ratio = (self.time[n] - self.time[n - 1]) / (self.time[n - 1] - self.time[n - 2])
        return float(self.overlap[n - 1] + ratio * (self.overlap[n - 1] - self.overlap[n - 2]))

    def _predict(self, n: int) -> None:
        """Initial guess of row n of responses and noise."""
        self.propagator.predict(n, self.time)
        self._noise[n] = self._noise[n - 1]
        if n > 1:
            ratio = (self.time[n] - self.time[n - 1]) / (self.time[n - 1] - self.time[n - 2])
            self._noise[n] += ratio * (self._noise[n - 1] - self._noise[n - 2])

    def _pull(self, force: Floats) -> float:
        """``alpha <l' z>``, with known noise subtracted."""
        return self._mean(force * self.z) - self.alpha * self._correction

    def _newton_overlap(self, trial: _Trial, mu: float, damped: Floats) -> float:
        """One Newton step of the implicit trapezoid for the overlap."""
        m, before = trial.overlap, self.overlap[trial.n - 1]
        drift = mu * m - self._pull(self._force[trial.n])
        slope = mu - self._mean(self.z**2 * damped)
        residual = m - before - trial.half * (self._drift + drift)
        return float(m - residual / (1 - trial.half * slope))

    def _extend_noise(self, n: int) -> None:
        """Row n of the factor of the noise covariance ``Lambda``, in variables 1 to n + 1."""
        covariance = self.alpha / self.z.size * (self._force[: n + 1] @ self._force[n])
        factor = self._noise[:n, 1 : n + 1]
        known = solve_triangular(factor, covariance[:n], lower=True, check_finite=False)
        self._noise[n] = 0.0
        self._noise[n, 1 : n + 1] = known
        self._noise[n, n + 1] = np.sqrt(max(covariance[n] - known @ known, _PIVOT * covariance[n]))

    def _respond(self, trial: _Trial, mu: float) -> float:
        """Row n of both responses and the memory; returns the relative change of the responses."""
        n, pulse = trial.n, self.propagator.pulse[0]
        chosen = np.unique(np.linspace(0, n, _CONTROLS).astype(int))
        w = self.coefficients[: n + 1]
        controls = Controls(self._fields[chosen], w @ w[chosen].T, self._force[n])
        found = mean_response(pulse[: n + 1, : n + 1], self._damped[: n + 1], self._weights, controls)
        if self.overlap[0]:
            self._correction = self._noise_of_pull(found.zero)
        moved = self.propagator.extend(n, trial.half, mu, self.alpha * found.mean)
        trial.memory = pulse[n, :n] @ self._force[:n]
        return moved

    def _noise_of_pull(self, zero: Floats) -> float:
        """Noise of ``<l' z>``, estimated from the differences of Stein's lemma with weight ``z²``."""
        pairs = (2, self.z.size // 2)
        values = (self._force[self.steps + 1] * self.z).reshape(pairs).mean(axis=0)
        return noise_of_mean(values, (self.z**2 * zero).reshape(len(zero), *pairs).mean(axis=1))

    def _measure_variance(self, n: int) -> None:
        covariance = self.alpha / self.z.size * (self._force[: n + 1] @ (self._weights[1] * self._force[n]))
        self._direction_noise[n, : n + 1] = self._direction_noise[: n + 1, n] = covariance
        weighted = self.propagator.pulse[1, n, : n + 1]
        noise = weighted @ self._direction_noise[: n + 1, : n + 1] @ weighted
        self.variance[n] = self.propagator.start[1, n] ** 2 + noise
