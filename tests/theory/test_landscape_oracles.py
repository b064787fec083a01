"""Complexity against random matrices and against minima that were found one by one."""

from __future__ import annotations

import numpy as np
import pytest

from phasepipe import NormalisedQuartic
from phasepipe.theory import CriticalPoints, complexity, flow_response, marginal_minima

LOSS = NormalisedQuartic(1.0)


def log_determinant(points: CriticalPoints) -> float:
    """``Re[mu g - log g - 1 + alpha <log(1 - g T)>]``, the functional that the equations come from."""
    g = points.multipliers.resolvent
    average = points.measure.average(
        lambda yhat, y: np.log(np.abs(1 - g * points.loss.curvature(yhat, y)) + 1e-300)[None]
    )
    return float(points.mu * g.real - np.log(abs(g)) - 1 + points.alpha * average[0])


@pytest.mark.parametrize(
    "asked",
    [
        {"alpha": 4.0, "energy": 0.4, "kind": "critical"},  # complex g
        {"alpha": 4.0, "energy": 0.2},  # edge above 0
        {"alpha": 8.0},  # marginal
    ],
    ids=["saddles", "minima", "marginal"],
)
def test_determinant_of_hessians_drawn_from_the_law(asked) -> None:
    N, draws = 200, 12
    points = complexity(LOSS, **asked)
    rng = np.random.default_rng(1)
    M = round(points.alpha * N)
    law = zip(*(np.split(each, draws) for each in points.measure.sample(M * draws, rng)), strict=True)
    found = []
    for yhat, y in law:
        X = rng.standard_normal((M, N))
        hessian = (X.T * points.loss.curvature(yhat, y)) @ X / N - points.mu * np.eye(N)
        found.append(np.linalg.slogdet(hessian)[1] / N)
    error = np.std(found, ddof=1) / np.sqrt(draws)
    assert error < 0.03
    assert np.mean(found) == pytest.approx(log_determinant(points), abs=4 * error + 0.01)


def test_law_solves_what_it_was_solved_for() -> None:
    """Energy, slopes and edge of a sample, and the response to the signal by the empirical formula."""
    ends = marginal_minima(LOSS, 7.0)
    rng = np.random.default_rng(2)
    for points in (ends.lowest, ends.most_numerous):
        yhat, y = points.measure.sample(400_000, rng)
        N = y.size / points.alpha
        found = flow_response(y, yhat, LOSS, N)
        assert found.energy == pytest.approx(points.energy, rel=0.01)
        assert found.edge == pytest.approx(0, abs=0.01)
        assert found.response == pytest.approx(points.signal_response, abs=0.03)
        slope = LOSS.slope(yhat, y)
        assert points.alpha * np.mean(slope**2) * points.multipliers.gradient == pytest.approx(1, rel=0.02)


def test_response_at_an_overlap_by_schur_complement() -> None:
    """Stability towards the signal, ``1 - S``, of Hessians whose X is orthogonal to the slopes.

    It is ``chi`` times the Schur complement of the signal direction. That the gradient vanishes raises it,
    here from clearly unstable to nearly stable.
    """
    points = complexity(LOSS, 4.0, overlap=0.8, energy=0.08)
    assert not points.marginal
    chi, m, N, draws = -points.multipliers.resolvent.real, points.overlap, 300, 10
    rng = np.random.default_rng(3)
    M = round(points.alpha * N)
    law = zip(*(np.split(each, draws) for each in points.measure.sample(M * draws, rng)), strict=True)
    stability = np.empty((draws, 2))  # with the condition, and without
    for row, (yhat, y) in zip(stability, law, strict=True):
        tangent = (y - m * yhat) / np.sqrt(1 - m * m)
        T, slope = points.loss.curvature(yhat, y), points.loss.slope(yhat, y)
        free = rng.standard_normal((M, N))
        for k, Z in enumerate((free - np.outer(slope, slope @ free) / (slope @ slope), free)):
            bulk = (Z.T * T) @ Z / N - points.mu * np.eye(N)
            mixed = Z.T @ (T * tangent) / N
            row[k] = chi * (T @ tangent**2 / N - points.mu - mixed @ np.linalg.solve(bulk, mixed))
    mean, error = stability.mean(0), stability.std(0, ddof=1) / np.sqrt(draws)
    assert mean == pytest.approx([1 - points.signal_response, -0.0905], abs=4 * error.max() + 0.01)
    gain = stability[:, 0] - stability[:, 1]
    assert gain.mean() == pytest.approx(0.0659, abs=0.035)
    assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(draws)


def local_geometry(w, X, products, y):
    """Gradient and Hessian on the sphere at points (starts, N), with a stiff direction along ``w``."""
    N = w.shape[1]
    yhat = w @ X.T / np.sqrt(N)
    gradient = LOSS.slope(yhat, y) @ X / np.sqrt(N)
    mu = (w * gradient).sum(1) / N
    hessian = (LOSS.curvature(yhat, y) @ products).reshape(-1, N, N) / N - mu[:, None, None] * np.eye(N)
    u = w / np.sqrt(N)
    image = np.einsum("sij,sj->si", hessian, u)
    stiff = (image * u).sum(1) + 1e4
    hessian -= u[:, :, None] * image[:, None, :] + image[:, :, None] * u[:, None, :]
    hessian += stiff[:, None, None] * u[:, :, None] * u[:, None, :]
    return gradient - mu[:, None] * w, hessian


def count_minima(X, y, starts: int, rng) -> int:
    """Number of distinct minima, up to sign, that damped Newton steps from random starts end in.

    A minimum counts if the gradient is so small against the square of the lowest eigenvalue that Newton's
    method converges from there; two are distinct if a component differs by 1e-5.
    """
    N = X.shape[1]
    products = (X[:, :, None] * X[:, None, :]).reshape(-1, N * N)

    def on_sphere(w):
        return w * np.sqrt(N) / np.linalg.norm(w, axis=1, keepdims=True)

    def value(w):
        return LOSS.value(w @ X.T / np.sqrt(N), y).sum(1)

    w = on_sphere(rng.standard_normal((starts, N)))
    energy, damping, live = value(w), np.full(starts, 0.1), np.arange(starts)
    for _ in range(200):
        here = w[live]
        gradient, hessian = local_geometry(here, X, products, y)
        eigenvalues, vectors = np.linalg.eigh(hessian)
        done = (eigenvalues[:, 0] > 0) & (np.linalg.norm(gradient, axis=1) < 1e-10)
        shift = np.maximum(0, -1.2 * eigenvalues[:, 0]) + damping[live] + 1e-12
        along = np.einsum("sij,si->sj", vectors, gradient) / (eigenvalues + shift[:, None])
        step = -np.einsum("sij,sj->si", vectors, along)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        there = on_sphere(here + step * np.minimum(1, 0.5 * np.sqrt(N) / np.maximum(length, 1e-300)))
        lower = value(there) <= energy[live] + 1e-14
        w[live] = np.where(lower[:, None], there, here)
        energy[live] = np.where(lower, value(there), energy[live])
        changed = np.where(lower, damping[live] * 0.1, np.maximum(damping[live] * 8, 1e-4))
        damping[live] = np.where(changed < 1e-7, 0, changed)
        live = live[~done]
        if live.size == 0:
            break
    gradient, hessian = local_geometry(w, X, products, y)
    lowest = np.linalg.eigvalsh(hessian)[:, 0]
    certain = (lowest > 1e-6) & (np.linalg.norm(gradient, axis=1) < 1e-3 * lowest**2)
    points = w[certain] * np.sign(w[certain][:, :1])
    distinct: list[np.ndarray] = []
    for point in points:
        if not distinct or np.abs(np.array(distinct) - point).max(1).min() > 1e-5:
            distinct.append(point)
    return len(distinct)


@pytest.mark.slow
def test_minima_found_one_by_one_are_as_many_as_predicted() -> None:
    """The mean number grows with N as exp(N Sigma), averaged over labels too, as finite samples have it.

    Without a signal every overlap counts alike, and the most numerous have overlap 0.
    """
    alpha, counts = 1.5, {}
    for N, instances, starts in ((4, 400, 60), (6, 250, 120), (8, 150, 200)):
        found = []
        for instance in range(instances):
            rng = np.random.default_rng([7, N, instance])
            X = rng.standard_normal((round(alpha * N), N))
            found.append(count_minima(X, rng.standard_normal(len(X)), starts, rng))
        counts[N] = np.mean(found), np.std(found) / np.sqrt(instances)
    growth = (np.log(counts[8][0]) - np.log(counts[4][0])) / 4
    error = np.hypot(counts[4][1] / counts[4][0], counts[8][1] / counts[8][0]) / 4
    assert error < 0.02
    expected = complexity(LOSS, alpha, labels="averaged").complexity
    assert growth == pytest.approx(expected, abs=3 * error)
    between = np.log(counts[6][0] / counts[4][0]) / 2
    assert between == pytest.approx(expected, abs=0.06)
