"""Edge, outlier, overlap and density against closed forms, direct root finding and diagonalisation."""

from dataclasses import fields

import numpy as np
import pytest
from scipy.optimize import brentq

import phasepipe as pp
from phasepipe.physics.hessian import spectrum
from phasepipe.theory import bulk_density, bulk_resolvent, last_crossing_time, predict


class ConstantCurvature:
    """Loss whose curvature is one number: the Hessian is a Wishart matrix times it."""

    def __init__(self, curvature: float) -> None:
        self.T = curvature

    def value(self, yhat, y):
        return self.T * (yhat - y) ** 2 / 2

    def slope(self, yhat, y):
        return self.T * (yhat - y)

    def curvature(self, yhat, y):
        return self.T + 0 * yhat + 0 * y


def random_point(N: int, seed: int) -> np.ndarray:
    w = np.random.default_rng(seed).standard_normal(N)
    return w * np.sqrt(N) / np.linalg.norm(w)


def direct(y, yhat, m, loss, N):
    """The equations of §5 in g, solved by bracketing, one sample at a time (sharp edges only)."""
    T = loss.curvature(yhat, y)
    y_e = (y - m * yhat) / np.sqrt(1 - m * m)
    mu = np.sum(yhat * loss.slope(yhat, y)) / N

    def z(g):
        return 1 / g + np.sum(T / (1 - g * T)) / N

    def residual(g):
        return z(g) - np.sum(y_e**2 * T / (1 - g * T)) / N

    g_edge = brentq(
        lambda g: np.sum((g * T / (1 - g * T)) ** 2) / N - 1, (1 - 1e-9) / T.min(), -1e-9, xtol=1e-15
    )
    if residual(g_edge) <= 0:
        return z(g_edge) - mu, np.nan, np.nan
    g = brentq(residual, g_edge, -1e-12, xtol=1e-15)
    dz_dg = -1 / g**2 + np.sum(T**2 / (1 - g * T) ** 2) / N
    q = 1 / (1 - np.sum(y_e**2 * T**2 / (1 - g * T) ** 2) / N / dz_dg)
    return z(g_edge) - mu, z(g) - mu, q


@pytest.mark.parametrize("a", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("alpha", [0.8, 1.5, 4.0])
def test_roots_equal_direct_bracketing_in_g(a, alpha):
    N, rng, loss = 200, np.random.default_rng(1), pp.NormalisedQuartic(a)
    m = np.array([-0.5, 0.0, 0.1, 0.3, 0.8])
    yhat = rng.standard_normal((5, round(alpha * N)))
    y = m[:, None] * yhat + np.sqrt(1 - m**2)[:, None] * rng.standard_normal(yhat.shape)
    found = predict(y, yhat, m, loss, N)
    sharp = ~found.edge_is_smooth
    assert sharp.sum() >= 3
    for run in np.flatnonzero(sharp):
        edge, outlier, overlap = direct(y[run], yhat[run], m[run], loss, N)
        assert found.edge[run] == pytest.approx(edge, rel=1e-9)
        np.testing.assert_allclose(found.outlier[run], outlier, rtol=1e-9)
        np.testing.assert_allclose(found.outlier_overlap[run], overlap, rtol=1e-7)
        assert (found.bbp_margin[run] > 0) == np.isfinite(outlier)


@pytest.mark.parametrize(("T", "alpha"), [(1.0, 3.0), (2.0, 1.5), (-1.0, 3.0), (-0.5, 0.7)])
def test_constant_curvature_has_marchenko_pastur_edge_and_density(T, alpha):
    N, M = 200, round(alpha * 200)
    y, loss = np.random.default_rng(0).standard_normal(M), ConstantCurvature(T)
    edges = np.sort(T * (1 + np.array([-1, 1]) * np.sqrt(alpha)) ** 2)
    found = predict(y, y, 0.0, loss, N)
    assert not found.edge_is_smooth
    assert found.mu == 0
    assert found.edge == pytest.approx(edges[0], rel=1e-12)
    x = np.linspace(edges[0], edges[1], 400)[1:-1]
    density = np.sqrt((x - edges[0]) * (edges[1] - x)) / (2 * np.pi * np.abs(T * x))
    np.testing.assert_allclose(bulk_density(x, y, y, loss, N), density, rtol=1e-6)
    outside = edges[[0, 1]] + np.array([-0.1, 0.1])
    np.testing.assert_allclose(bulk_density(outside, y, y, loss, N), 0, atol=1e-10)


def test_positive_curvature_and_few_measurements_put_the_edge_at_zero():
    y = np.random.default_rng(0).standard_normal(100)
    found = predict(y, y, 0.0, ConstantCurvature(1.0), N=200)
    assert found.edge == 0
    assert np.isnan(found.outlier)


def test_rows_broadcast_and_do_not_depend_on_their_neighbours():
    N, M, rng, loss = 128, 300, np.random.default_rng(2), pp.NormalisedQuartic(0.01)
    y = rng.standard_normal(M)
    yhat = rng.standard_normal((40, 7, M)).astype(np.float32)
    yhat[3, 2, 5] = np.nan
    m = rng.uniform(-0.9, 0.9, (40, 7))
    m[1, 1] = 1.0
    found = predict(y, yhat, m, loss, N)
    assert found.edge.shape == (40, 7)
    for run in [(0, 0), (39, 6), (17, 3)]:
        alone = predict(y, yhat[run], m[run], loss, N)
        for name, value in vars(alone).items():
            np.testing.assert_allclose(getattr(found, name)[run], value, rtol=1e-10)
    assert np.isnan([found.edge[3, 2], found.outlier[3, 2], found.bbp_margin[3, 2]]).all()
    assert np.isfinite(found.edge[1, 1])
    assert np.isnan([found.outlier[1, 1], found.bbp_margin[1, 1], found.outlier_overlap[1, 1]]).all()


def test_weight_two_equals_a_sample_twice():
    N, rng, loss = 100, np.random.default_rng(3), pp.NormalisedQuartic(0.3)
    y, yhat = rng.standard_normal((2, 150))
    weighted = predict(y, yhat, 0.2, loss, N, weights=np.full(150, 2.0))
    repeated = predict(np.tile(y, 2), np.tile(yhat, 2), 0.2, loss, N)
    for name, value in vars(repeated).items():
        np.testing.assert_allclose(getattr(weighted, name), value, rtol=1e-9)


def gaussian_grid(step: float, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Independent N(0, 1) labels and predictions as a grid (midpoint rule converges exponentially)."""
    nodes = np.arange(step / 2, reach, step)
    p = np.exp(-(nodes**2) / 2)
    p /= p.sum()
    y, yhat = (grid.ravel() for grid in np.meshgrid(nodes, nodes, indexing="ij"))
    return y, yhat, np.outer(p, p).ravel()


@pytest.mark.parametrize(
    ("a", "alpha_init", "smooth"),
    [(1.0, 1.1349, False), (2.0, 1.6904, True)],
    ids=["continuous", "discontinuous"],
)
def test_transition_at_initialisation_of_the_distribution(a, alpha_init, smooth):
    """Where the outlier appears, and on which branch, from the Gaussian distribution itself."""
    N, loss = 1e9, pp.NormalisedQuartic(a)
    y, yhat, p = gaussian_grid(step=0.08, reach=30)
    # the support reaches inf T = -1 at y to infinity, with no weight
    y, yhat, p = np.append(y, 1e6), np.append(yhat, 0.0), np.append(p, 0.0)

    def at(alpha):
        return predict(y, yhat, 0.0, loss, N, weights=alpha * N * p)

    root = brentq(lambda alpha: float(at(alpha).bbp_margin), 0.8 * alpha_init, 1.2 * alpha_init, xtol=1e-6)
    assert root == pytest.approx(alpha_init, rel=1e-4)
    above = at(root + 1e-4)
    assert bool(above.edge_is_smooth) is smooth
    if smooth:
        assert above.outlier_overlap > 0.1  # discontinuous: the overlap jumps
    else:
        assert above.outlier_overlap < 0.01


def test_large_sample_finds_the_continuous_transition():
    rng, loss, N = np.random.default_rng(5), pp.NormalisedQuartic(1.0), 200_000
    margins = {}
    for alpha in (1.08, 1.19):
        y, yhat = rng.standard_normal((2, round(alpha * N)))
        margins[alpha] = float(predict(y, yhat, 0.0, loss, N).bbp_margin)
    crossing = 1.08 - margins[1.08] * 0.11 / (margins[1.19] - margins[1.08])
    assert crossing == pytest.approx(1.1349, rel=0.02)


def measured_and_predicted(N: int, instances: int) -> tuple[np.ndarray, np.ndarray]:
    rows = []
    loss = pp.NormalisedQuartic(1.0)
    for instance in range(instances):
        problem = pp.Problem.draw(N=N, alpha=3.0, seed=11, instance=instance)
        w = random_point(N, instance)
        spec = spectrum(problem, loss, w, k=1)
        yhat = problem.sensing @ w / np.sqrt(N)
        found = predict(problem.labels, yhat, w @ problem.signal / N, loss, N)
        rows.append([[spec.eigenvalues[0], spec.signal_overlap[0]], [found.outlier, found.outlier_overlap]])
    measured, predicted = np.mean(np.array(rows, dtype=float), axis=0)
    return measured, predicted


@pytest.mark.parametrize(("N", "instances"), [(512, 20), pytest.param(1024, 10, marks=pytest.mark.slow)])
def test_prediction_meets_diagonalisation_at_the_start(N, instances):
    measured, predicted = measured_and_predicted(N, instances)
    assert predicted[0] == pytest.approx(measured[0], rel=0.02)
    assert predicted[1] == pytest.approx(measured[1], abs=0.04)


@pytest.mark.parametrize(("a", "alpha", "top"), [(1.0, 3.0, 60.0), (2.0, 1.2, 40.0)])
def test_density_integrates_to_one_and_matches_the_spectrum(a, alpha, top):
    N, loss = 300, pp.NormalisedQuartic(a)
    problem, w = pp.Problem.draw(N=N, alpha=alpha, seed=4), random_point(N, 1)
    yhat = problem.sensing @ w / np.sqrt(N)
    values = spectrum(problem, loss, w, full=True).all_eigenvalues.values
    x = values[0] - 1 + np.geomspace(0.3, top + 0.3, 2500) - 0.3
    density = bulk_density(x, problem.labels, yhat, loss, N)
    steps = np.diff(x) * (density[1:] + density[:-1]) / 2
    assert steps.sum() == pytest.approx(1, abs=3e-3)
    cumulative = np.interp(values, x, np.concatenate([[0], np.cumsum(steps)]))
    assert np.abs(cumulative - np.arange(N - 1) / (N - 1)).max() < 0.02
    edge = float(predict(problem.labels, yhat, 0.0, loss, N).edge)
    assert density[x < edge - 1e-6].max() < 1e-6
    assert density[x > edge + 0.01][0] > 1e-3


def test_resolvent_solves_the_bulk_equation_in_the_upper_half_plane():
    N, rng = 150, np.random.default_rng(0)
    T = pp.NormalisedQuartic(0.3).curvature(*rng.standard_normal((2, 400)))
    z = rng.uniform(-5, 30, 50) + 1j * rng.choice([0.0, 1e-3, 1.0], 50)
    g = bulk_resolvent(z, T, N)
    assert (g.imag <= 0).all()
    back = 1 / g + (T / (1 - g[:, None] * T)).sum(axis=1) / N
    np.testing.assert_allclose(back, z, rtol=1e-7, atol=1e-7)
    far = 1e5 + 1e5j
    assert bulk_resolvent(far, T, N) == pytest.approx(1 / far, rel=1e-3)
    with pytest.raises(ValueError, match="below the real axis"):
        bulk_resolvent(1 - 1j, T, N)


def test_smooth_edge_is_the_outlier_of_the_lowest_sample():
    """a = 20, few measurements: the lowest eigenvalue sits where one sample's rank-one update puts it."""
    N, alpha, loss = 600, 1.0, pp.NormalisedQuartic(20.0)
    shifts, smooth = [], 0
    for instance in range(30):
        problem = pp.Problem.draw(N=N, alpha=alpha, seed=2, instance=instance, zero_signal=True)
        w = random_point(N, instance)
        found = predict(problem.labels, problem.sensing @ w / np.sqrt(N), 0.0, loss, N)
        if found.edge_is_smooth:
            smooth += 1
            lowest = float(spectrum(problem, loss, w, k=1).eigenvalues[0])
            shifts.append((lowest - found.edge) / abs(found.edge))
            T = loss.curvature(problem.sensing @ w / np.sqrt(N), problem.labels)
            assert found.g_edge == pytest.approx(1 / T.min(), rel=1e-5)
    assert smooth >= 10
    assert abs(np.mean(shifts)) < 0.03


def test_last_crossing_is_interpolated_and_its_rules_hold():
    t = np.array([0.0, 1.0, 3.0, 7.0])
    margin = np.array(
        [
            [1.0, 0.5, -0.5, -1.0],
            [1.0, -1.0, 2.0, -2.0],
            [-1.0, -1.0, -1.0, -1.0],
            [-1.0, 1.0, -1.0, 1.0],
            [1.0, 0.5, np.nan, -0.5],
            [1.0, 0.5, np.nan, np.nan],
            [1.0, 0.0, 0.0, -1.0],
            [np.nan] * 4,
        ]
    )
    expected = [2.0, 5.0, np.nan, np.inf, 4.0, np.inf, 1.0, np.nan]
    np.testing.assert_allclose(last_crossing_time(t, margin), expected)
    np.testing.assert_allclose(last_crossing_time(t, margin.reshape(2, 4, 4)).ravel(), expected)
    assert last_crossing_time(t, margin[0]) == 2.0
    with pytest.raises(ValueError, match="do not fit"):
        last_crossing_time(t[:-1], margin)
    with pytest.raises(ValueError, match="do not increase"):
        last_crossing_time(t[::-1], margin)


def test_errors_name_shapes_and_cure():
    y, loss = np.ones(10), pp.Quartic()
    with pytest.raises(ValueError, match=r"labels \(10,\), yhat \(3, 9\)"):
        predict(y, np.ones((3, 9)), np.zeros(3), loss, 5)
    with pytest.raises(ValueError, match=r"overlap \(2,\) do not fit"):
        predict(y, np.ones((3, 10)), np.zeros(2), loss, 5)
    with pytest.raises(ValueError, match="N = 0"):
        predict(y, y, 0.0, loss, 0)
    with pytest.raises(ValueError, match="weights has shape"):
        predict(y, y, 0.0, loss, 5, weights=np.ones(3))
    with pytest.raises(ValueError, match="no sample"):
        predict(1.0, 1.0, 0.0, loss, 5)
    with pytest.raises(TypeError, match="curvature"):
        predict(y, y, 0.0, object(), 5)


@pytest.mark.slow
def test_lowest_eigenvalue_below_the_transition_lies_n_to_minus_two_thirds_above_the_edge():
    """a = 0.3, alpha = 1 (continuous edge, no outlier): Tracy-Widom scaling of the distance to the edge."""
    loss = pp.NormalisedQuartic(0.3)
    sizes, counts = np.array([64, 128, 256, 512, 1024]), [1600, 1200, 800, 500, 250]
    distances, errors = [], []
    for N, count in zip(sizes, counts, strict=True):
        sample = []
        for instance in range(count):
            problem = pp.Problem.draw(N=int(N), alpha=1.0, seed=21, instance=instance)
            w = random_point(int(N), instance)
            yhat = problem.sensing @ w / np.sqrt(N)
            found = predict(problem.labels, yhat, w @ problem.signal / N, loss, N)
            sample.append(float(spectrum(problem, loss, w, k=1).eigenvalues[0]) - found.edge)
        distances.append(np.mean(sample))
        errors.append(np.std(sample) / np.sqrt(count) / distances[-1])
    slope = np.polyfit(np.log(sizes), np.log(distances), 1, w=1 / np.array(errors))[0]
    assert slope == pytest.approx(-2 / 3, abs=0.1)


def test_no_runs_have_no_prediction():
    found = predict(np.ones(12), np.ones((0, 12)), np.ones(0), pp.NormalisedQuartic(a=0.01), 4)
    assert all(getattr(found, field.name).shape == (0,) for field in fields(found))
