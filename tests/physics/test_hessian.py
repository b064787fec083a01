"""The Riemannian Hessian against oracles that share no code with it."""

import itertools

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.physics.hessian import (
    lowest_eigenpairs,
    spectrum,
    tangent_hessian,
)


def random_point(N: int, seed: int) -> np.ndarray:
    w = np.random.default_rng(seed).standard_normal(N)
    return w * np.sqrt(N) / np.linalg.norm(w)


def projected_hessian(problem, a: float, w: np.ndarray) -> np.ndarray:
    """``P H P`` as an (N, N) matrix written out for the normalised quartic loss."""
    X, y, N = problem.sensing.astype(np.float64), problem.labels, problem.N
    yhat = X @ w / np.sqrt(N)
    T = (3 * yhat**2 - y**2) / (a + y**2)
    mu = np.sum(yhat**2 * (yhat**2 - y**2) / (a + y**2)) / N
    P = np.eye(N) - np.outer(w, w) / N
    return P @ (X.T @ np.diag(T) @ X / N - mu * np.eye(N)) @ P


def riemannian_gradient(problem, a: float, w: np.ndarray) -> np.ndarray:
    X, y, N = problem.sensing.astype(np.float64), problem.labels, problem.N
    yhat = X @ w / np.sqrt(N)
    gradient = X.T @ (yhat * (yhat**2 - y**2) / (a + y**2)) / np.sqrt(N)
    return gradient - (gradient @ w / N) * w


@pytest.mark.parametrize("a", [0.01, 1.0])
@pytest.mark.parametrize("N", [2, 3, 30, 150])
def test_spectrum_equals_dense_projector_oracle(N, a):
    problem = pp.Problem.draw(N=N, alpha=2.5, seed=1, instance=4)
    w = random_point(N, 2)
    H = projected_hessian(problem, a, w)
    far = 10 * np.abs(H).max() * N  # moves the zero along w above the spectrum
    values, vectors = np.linalg.eigh(H + far * np.outer(w, w) / N)
    values, vectors = values[:-1], vectors[:, :-1]
    m = w @ problem.signal / N
    e = (problem.signal - m * w) / np.sqrt(N * (1 - m**2))
    overlaps = (vectors.T @ e) ** 2

    k = min(4, N - 1)
    spec = spectrum(problem, pp.NormalisedQuartic(a), w, k=k, full=True)
    scale = np.abs(values).max()
    np.testing.assert_allclose(spec.all_eigenvalues, values, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(spec.eigenvalues, values[:k], rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(spec.all_signal_overlaps, overlaps, rtol=0, atol=1e-8)
    np.testing.assert_allclose(spec.signal_overlap, overlaps[:k], rtol=0, atol=1e-8)
    np.testing.assert_allclose(float(spec.all_signal_overlaps.sum()), 1, rtol=1e-12)
    assert float(spec["index"]) == np.mean(values < 0)
    assert float(spec.overlap) == pytest.approx(m, abs=1e-12)
    assert float(spec.largest_eigenvalue) == pytest.approx(values[-1], rel=1e-10)
    assert int(spec.largest_signal_overlap_rank) == np.argmax(overlaps)
    assert float(spec.largest_signal_overlap) == pytest.approx(overlaps.max(), abs=1e-8)


@pytest.mark.parametrize("a", [0.01, 1.0])
def test_product_and_matrix_equal_finite_differences_of_the_gradient(a):
    """``H v = d/ds g(w(s))`` projected at w, along the great circle through w in direction v."""
    N, M = 60, 210
    problem = pp.Problem.draw(N=N, alpha=M / N, seed=3)
    loss, w = pp.NormalisedQuartic(a), random_point(N, 5)
    v = np.random.default_rng(6).standard_normal(N)
    v -= (v @ w / N) * w
    v *= np.sqrt(N) / np.linalg.norm(v)

    def derivative(s: float) -> np.ndarray:
        ahead = riemannian_gradient(problem, a, np.cos(s) * w + np.sin(s) * v)
        behind = riemannian_gradient(problem, a, np.cos(s) * w - np.sin(s) * v)
        slope = (ahead - behind) / (2 * s)
        return slope - (slope @ w / N) * w

    # Richardson extrapolation, error of order s^8
    table = [derivative(0.04 / 2**level) for level in range(5)]
    for order in range(1, 5):
        table = [(4**order * b - a_) / (4**order - 1) for a_, b in itertools.pairwise(table)]
    expected = table[0]
    lower, basis = tangent_hessian(problem, loss, w)
    matrix = np.tril(lower) + np.tril(lower, -1).T
    dense = basis.vectors(matrix @ basis.coordinates(v))
    np.testing.assert_allclose(dense, expected, rtol=0, atol=1e-10 * np.linalg.norm(expected))


def test_eigenpairs_satisfy_their_equation_and_repeat(hessian_product):
    N = 80
    problem = pp.Problem.draw(N=N, alpha=3, seed=2)
    loss, w = pp.NormalisedQuartic(0.01), random_point(N, 3)
    values, vectors = lowest_eigenpairs(problem, loss, w, k=5)
    residual = hessian_product(problem, loss, w, vectors) - values[:, None] * vectors
    top = float(spectrum(problem, loss, w).largest_eigenvalue)
    assert np.abs(residual).max() < 1e-12 * top
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(vectors @ w, 0, atol=1e-11)
    assert (vectors[np.arange(5), np.abs(vectors).argmax(axis=1)] > 0).all()
    np.testing.assert_array_equal(lowest_eigenpairs(problem, loss, w, k=5)[1], vectors)


def test_memory_blocks_do_not_change_the_matrix(monkeypatch):
    problem = pp.Problem.draw(N=40, alpha=6, seed=2)
    loss, w = pp.Quartic(), random_point(40, 3)
    whole, _ = tangent_hessian(problem, loss, w)
    monkeypatch.setattr("phasepipe.physics.hessian.BLOCK_ROWS", 7)
    pieces, _ = tangent_hessian(problem, loss, w)
    np.testing.assert_allclose(np.tril(pieces), np.tril(whole), rtol=0, atol=1e-12 * np.abs(whole).max())


def test_dataset_dimensions_units_and_float32_points():
    problem = pp.Problem.draw(N=30, alpha=3, seed=0)
    loss = pp.NormalisedQuartic(0.01)
    points = np.stack([random_point(30, seed) for seed in range(3)])
    spec = spectrum(problem, loss, points, k=2, full=True)
    assert spec.eigenvalues.dims == ("start", "eigenvalue")
    assert spec.sizes == {"start": 3, "eigenvalue": 2, "mode": 29}
    assert all(v.attrs["long_name"] and v.attrs["units"] == "1" for v in spec.data_vars.values())
    single = spectrum(problem, loss, points[1], k=2, full=True)
    assert single.eigenvalues.dims == ("eigenvalue",)
    for name in spec.data_vars:
        np.testing.assert_array_equal(single[name], spec[name].isel(start=1))
    rounded = spectrum(problem, loss, points.astype(np.float32), k=2)
    np.testing.assert_allclose(rounded.eigenvalues, spec.eigenvalues, rtol=1e-3)


def test_errors_name_the_value_and_the_cure():
    problem = pp.Problem.draw(N=20, alpha=3, seed=0)
    loss, w = pp.NormalisedQuartic(1.0), random_point(20, 0)
    with pytest.raises(ValueError, match=r"shape \(19,\); it must be \(20,\) or \(count, 20\)"):
        spectrum(problem, loss, w[:-1])
    with pytest.raises(ValueError, match=r"\|w\|² = 80, not N = 20; rescale"):
        spectrum(problem, loss, 2 * w)
    with pytest.raises(ValueError, match="point 1 has"):
        spectrum(problem, loss, np.stack([w, w * np.nan]))
    with pytest.raises(ValueError, match=r"k = 20 is out of range; the tangent space has 1 to 19"):
        spectrum(problem, loss, w, k=20)
    with pytest.raises(ValueError, match="k = 0"):
        lowest_eigenpairs(problem, loss, w, k=0)
    with pytest.raises(ValueError, match=r"point 1 has overlap -1 .*no tangent direction"):
        spectrum(problem, loss, np.stack([w, -problem.signal]))
    with pytest.raises(ValueError, match="overlap 1"):
        spectrum(problem, loss, problem.signal.astype(np.float32))
    with pytest.raises(ValueError, match=r"one point of shape \(20,\)"):
        tangent_hessian(problem, loss, w[None])
    with pytest.raises(TypeError, match="curvature"):
        spectrum(problem, object(), w)
