from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from phasepipe import NormalisedQuartic, Quartic
from phasepipe.theory import (
    ConvergenceError,
    alpha_init,
    branch_change,
    initial_spectrum,
    initial_transition,
)
from phasepipe.theory.requirements import lowest_curvature


@pytest.mark.parametrize(
    ("a", "alpha", "branch"), [(1.0, 1.1349, "continuous"), (2.0, 1.690, "discontinuous")]
)
def test_check_figures(a: float, alpha: float, branch: str) -> None:
    transition = initial_transition(NormalisedQuartic(a))
    assert transition.alpha == pytest.approx(alpha, abs=6e-4 if a == 2 else 6e-5)
    assert transition.branch == branch
    assert transition.error < 1e-6


def test_branch_changes_where_the_literature_says() -> None:
    critical = branch_change()
    assert critical == pytest.approx(1.109, abs=5e-4)
    below, above = (initial_transition(NormalisedQuartic(critical * (1 + s))) for s in (-1e-3, 1e-3))
    assert (below.branch, above.branch) == ("continuous", "discontinuous")
    assert below.alpha == pytest.approx(above.alpha, rel=3e-3)


@pytest.mark.parametrize("a", [1.5, 10.0, 100.0])
def test_discontinuous_branch_closed_form(a: float) -> None:
    mean = np.sqrt(2 / np.pi) * quad(lambda t: np.exp(-t * t / 2) / (a + 3 * t * t), 0, 12, epsrel=1e-12)[0]
    transition = initial_transition(NormalisedQuartic(a))
    assert transition.alpha == pytest.approx(1 / (2 * mean), rel=1e-8)
    assert 0 < transition.overlap < 1


@pytest.mark.parametrize("a", [0.001, 0.01, 1.0])
def test_continuous_branch_by_gauss_legendre(a: float) -> None:
    """Same equations on a fixed logarithmic grid of the quadrant, no adaptivity."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.linspace(np.log(1e-9), np.log(12.0), 60)
    half = np.diff(edges)[:, None] / 2
    point = np.exp((edges[:-1, None] + half) + half * nodes).ravel()
    weight = (half * weights).ravel() * point * np.sqrt(2 / np.pi) * np.exp(-(point**2) / 2)
    yhat, y = np.meshgrid(point, point)
    curvature = (3 * yhat**2 - y**2) / (a + y**2)
    transition = initial_transition(NormalisedQuartic(a))
    ratio = transition.resolvent * curvature / (1 - transition.resolvent * curvature)
    assert weight @ ratio**2 @ weight == pytest.approx(1 / transition.alpha, rel=1e-7)
    assert weight @ ((y**2 - 1) * ratio) @ weight == pytest.approx(1 / transition.alpha, rel=1e-7)


def test_user_loss(perturbed_amplitude) -> None:
    loss = perturbed_amplitude(0.1)
    assert lowest_curvature(loss) == pytest.approx(1 - np.sqrt(11), rel=1e-10)
    transition = initial_transition(loss)
    assert transition.branch == "continuous"
    # Its curvature depends on the angle only, whose cosine² is independent of r² = y² + yhat², with E[r²] =
    # 2.
    g = transition.resolvent

    def angular(power: int, extra: float) -> float:
        def integrand(angle: float) -> float:
            yhat, y = np.sin(angle), np.cos(angle)
            scaled = g * loss.curvature(yhat, y)
            ratio = scaled / (1 - scaled)
            return float(ratio**power * ((2 * y * y - 1) if extra else 1.0))

        return 2 / np.pi * quad(integrand, 0, np.pi / 2, epsabs=0, epsrel=1e-11, limit=400)[0]

    assert angular(2, 0) == pytest.approx(1 / transition.alpha, rel=1e-7)
    assert angular(1, 1) == pytest.approx(1 / transition.alpha, rel=1e-7)


def test_prefactor_rescales_nothing_but_the_spectrum(scaled) -> None:
    loss = NormalisedQuartic(0.5)
    assert alpha_init(scaled(loss, 7.0)) == pytest.approx(alpha_init(loss), rel=1e-8)
    plain, larger = initial_spectrum(loss, 3.0), initial_spectrum(scaled(loss, 7.0), 3.0)
    assert larger.edge == pytest.approx(7 * plain.edge)
    assert larger.outlier == pytest.approx(7 * plain.outlier)
    assert larger.overlap == pytest.approx(plain.overlap)


def test_outlier_appears_at_alpha_init() -> None:
    loss = NormalisedQuartic(1.0)
    alpha = alpha_init(loss)
    below, above = initial_spectrum(loss, 0.999 * alpha), initial_spectrum(loss, 1.02 * alpha)
    assert np.isnan(below.outlier)
    assert below.overlap == 0
    assert above.outlier < above.edge
    assert 0 < above.overlap < 0.05


def test_lagrange_multiplier_by_partial_integration() -> None:
    mean = quad(lambda y: np.sqrt(2 / np.pi) * np.exp(-y * y / 2) * (3 - y * y) / (0.01 + y * y), 0, 12)[0]
    assert initial_spectrum(NormalisedQuartic(0.01), 3.0).mu == pytest.approx(3 * mean, rel=1e-7)


def test_against_diagonalisation() -> None:
    """Random starts at N = 700: outlier, its overlap, and the bulk edge."""
    N, alpha, draws = 700, 3.0, 6
    loss = NormalisedQuartic(1.0)
    predicted = initial_spectrum(loss, alpha)
    lowest, second, overlap = np.empty((3, draws))
    for k in range(draws):
        generator = np.random.default_rng(k)
        X = generator.normal(size=(round(alpha * N), N))
        signal, w = generator.normal(size=(2, N))
        signal *= np.sqrt(N) / np.linalg.norm(signal)
        w -= signal * (w @ signal) / N  # zero overlap, as for N to infinity
        w *= np.sqrt(N) / np.linalg.norm(w)
        y, yhat = X @ signal / np.sqrt(N), X @ w / np.sqrt(N)
        mu = yhat @ loss.slope(yhat, y) / N
        tangent = np.linalg.svd(w[None])[2][1:]
        H = tangent @ (X.T @ (loss.curvature(yhat, y)[:, None] * X)) @ tangent.T / N - mu * np.eye(N - 1)
        values, vectors = np.linalg.eigh(H)
        lowest[k], second[k] = values[:2]
        overlap[k] = (vectors[:, 0] @ (tangent @ signal)) ** 2 / N
    sigma = lowest.std(ddof=1) / np.sqrt(draws)
    assert abs(lowest.mean() - predicted.outlier) < 4 * sigma + 0.05
    assert second.mean() == pytest.approx(predicted.edge, abs=0.15)
    assert overlap.mean() == pytest.approx(predicted.overlap, abs=0.08)


def test_unbounded_curvature_is_refused() -> None:
    with pytest.raises(ValueError, match="unbounded below"):
        alpha_init(Quartic())


def test_narrow_valley_of_curvature_is_found(custom) -> None:
    """A robust loss: its curvature is unbounded below along yhat² - y² = const, off any coarse grid."""
    loss = custom(
        lambda p, y: 1 - np.exp(-((p**2 - y**2) ** 2) / 4),
        lambda p, y: p * (p**2 - y**2) * np.exp(-((p**2 - y**2) ** 2) / 4),
        lambda p, y: (3 * p**2 - y**2 - (p * (p**2 - y**2)) ** 2) * np.exp(-((p**2 - y**2) ** 2) / 4),
    )
    with pytest.raises(ValueError, match="unbounded below"):
        alpha_init(loss)


def test_convex_loss_is_refused(custom) -> None:
    loss = custom(
        lambda p, y: (np.abs(p) - np.abs(y)) ** 2 / 2,
        lambda p, y: p - np.sign(p) * np.abs(y),
        lambda p, y: 1 + 0 * p * y,
    )
    with pytest.raises(ValueError, match="nowhere negative"):
        alpha_init(loss)


def test_loss_that_sees_signs_is_refused(custom) -> None:
    loss = custom(lambda p, y: (p - y) ** 2 / 2, lambda p, y: p - y, lambda p, y: 1 + 0 * p * y)
    with pytest.raises(ValueError, match="sign"):
        alpha_init(loss)


def test_wrong_derivative_is_refused(custom) -> None:
    right = NormalisedQuartic(1.0)
    loss = custom(right.value, lambda p, y: 2 * right.slope(p, y), right.curvature)
    with pytest.raises(ValueError, match="not the derivative"):
        alpha_init(loss)


def test_minimum_away_from_the_label_is_refused(custom) -> None:
    loss = custom(lambda p, y: p**2 / 2 + 0 * y, lambda p, y: p + 0 * y, lambda p, y: 1 + 0 * p * y)
    with pytest.raises(ValueError, match="not smallest"):
        alpha_init(loss)


def test_divergent_expectation_is_refused(custom) -> None:
    """The curvature grows like exp(yhat²): its Gaussian average, and with it mu, does not exist."""
    loss = custom(
        lambda p, y: (np.exp(p**2) - np.exp(y**2)) ** 2 * np.exp(-(y**2)) / 4,
        lambda p, y: p * np.exp(p**2) * (np.exp(p**2) - np.exp(y**2)) * np.exp(-(y**2)),
        lambda p, y: np.exp(p**2 - y**2) * ((1 + 4 * p**2) * np.exp(p**2) - (1 + 2 * p**2) * np.exp(y**2)),
    )
    with pytest.raises((ConvergenceError, ValueError), match=r"finite|converge"):
        initial_spectrum(loss, 3.0)


@pytest.mark.parametrize("alpha", [0.0, -1.0, np.nan, np.inf])
def test_bad_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        initial_spectrum(NormalisedQuartic(1.0), alpha)
