from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar

from phasepipe.theory import YARDSTICKS, optimal_weight, spectral_start, spectral_transition


def lu_li_overlap(weight, alpha: float, top: float) -> float:
    """Squared overlap by theorem 1 of arXiv:1702.06435, by scipy's quadrature; ``top`` is its supremum."""

    def mean(function) -> float:
        integral = sum(
            quad(lambda y: function(y) * np.exp(-y * y / 2), a, b, epsabs=0, epsrel=1e-11, limit=400)[0]
            for a, b in [(1e-9, 0.1), (0.1, 1), (1, 12)]
        )
        return float(np.sqrt(2 / np.pi) * integral)

    def phi(value: float) -> float:
        return value * mean(lambda y: weight(y) * y * y / (value - weight(y)))

    def psi(value: float) -> float:
        return value * (1 / alpha + mean(lambda y: weight(y) / (value - weight(y))))

    lowest = minimize_scalar(
        psi, bounds=(top * (1 + 1e-9), top * 60), method="bounded", options={"xatol": 1e-10}
    ).x
    if psi(lowest) > phi(lowest):
        return 0.0
    root = brentq(lambda value: psi(value) - phi(value), lowest, top * 1e4, xtol=1e-13)
    step = 1e-5 * root
    psi_slope = (psi(root + step) - psi(root - step)) / (2 * step)
    phi_slope = (phi(root + step) - phi(root - step)) / (2 * step)
    return psi_slope / (psi_slope - phi_slope)


@pytest.mark.parametrize("alpha", [0.7, 1.5, 4.0])
def test_regularised_weight_against_lu_and_li(alpha: float) -> None:
    def weight(y):
        return optimal_weight(y, 0.3)

    assert spectral_start(weight, alpha).overlap == pytest.approx(lu_li_overlap(weight, alpha, 1.0), abs=2e-5)


def test_another_weight_against_lu_and_li() -> None:
    def weight(y):
        return np.tanh(y * y)

    assert spectral_start(weight, 3.0).overlap == pytest.approx(lu_li_overlap(weight, 3.0, 1.0), abs=2e-5)


def test_optimal_weight_recovers_weakly_from_one_half() -> None:
    assert spectral_transition(optimal_weight).alpha == pytest.approx(YARDSTICKS["weak_recovery"], rel=1e-6)
    assert spectral_start(optimal_weight, 0.49).overlap == 0
    assert 0 < spectral_start(optimal_weight, 0.51).overlap < 0.01


def test_optimal_weight_is_best() -> None:
    others = (lambda y: optimal_weight(y, 0.5), lambda y: np.tanh(y * y), lambda y: y * y * (y * y < 6))
    for alpha in (1.0, 3.0):
        best = spectral_start(optimal_weight, alpha).overlap
        assert all(spectral_start(other, alpha).overlap < best for other in others)


def test_overlap_grows_with_alpha() -> None:
    overlaps = [spectral_start(optimal_weight, alpha).overlap for alpha in (0.6, 1, 2, 5, 20)]
    assert np.all(np.diff(overlaps) > 0)
    assert overlaps[-1] < 1


def test_against_diagonalisation() -> None:
    N, alpha, draws = 600, 2.0, 6
    overlap = np.empty(draws)
    for k in range(draws):
        generator = np.random.default_rng(k)
        X = generator.normal(size=(round(alpha * N), N))
        signal = generator.normal(size=N)
        signal /= np.linalg.norm(signal)
        vector = np.linalg.eigh(X.T @ (optimal_weight(X @ signal, 0.01)[:, None] * X))[1][:, -1]
        overlap[k] = (vector @ signal) ** 2
    predicted = spectral_start(lambda y: optimal_weight(y, 0.01), alpha).overlap
    assert overlap.mean() == pytest.approx(predicted, abs=4 * overlap.std(ddof=1) / np.sqrt(draws) + 0.01)


def test_unbounded_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="bounded above"):
        spectral_start(lambda y: y * y, 2.0)


def test_bad_alpha_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha"):
        spectral_start(optimal_weight, -1.0)
