from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad
from scipy.special import gamma

from phasepipe.theory.quadrature import (
    GAUSS,
    KRONROD,
    NODES,
    ConvergenceError,
    gaussian_average,
    gaussian_plane_average,
    integrate,
)


@pytest.mark.parametrize(("weights", "degree"), [(KRONROD, 22), (GAUSS, 12)])
def test_rule_is_exact_for_polynomials(weights: np.ndarray, degree: int) -> None:
    for power in range(0, degree + 1, 2):
        assert weights @ NODES**power == pytest.approx(2 / (power + 1), rel=1e-13)
    assert weights @ NODES ** (degree + 2) != pytest.approx(2 / (degree + 3), rel=1e-10)


def test_even_moments_of_a_gaussian() -> None:
    estimate = gaussian_average(lambda y: np.stack([y**power for power in (0, 2, 4, 8)]))
    np.testing.assert_allclose(estimate.value, [1, 1, 3, 105], rtol=1e-9)


def test_each_integral_of_a_batch_has_its_own_interval() -> None:
    lower, upper = np.array([0.0, 1.0, -2.0]), np.array([1.0, 4.0, 0.5])
    estimate = integrate(lambda points, owner: (points ** (owner[:, None] + 1.0))[None], lower, upper)
    power = np.array([2, 3, 4])
    np.testing.assert_allclose(estimate.value[0], (upper**power - lower**power) / power, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(width=st.floats(1e-4, 10.0), centre=st.floats(0.0, 5.0))
def test_error_estimate_is_obeyed(width: float, centre: float) -> None:
    def peak(y):
        return 1 / (width**2 + (y - centre) ** 2)

    estimate = gaussian_average(lambda y: np.stack([peak(y)]))
    exact = sum(
        quad(lambda y: peak(y) * np.exp(-y * y / 2), low, high, epsabs=0, epsrel=1e-12, limit=500)[0]
        for low, high in [(0, centre), (centre, centre + width), (centre + width, 12)]
        if high > low
    ) * np.sqrt(2 / np.pi)
    assert abs(estimate.value[0] - exact) <= max(estimate.error[0], 1e-11 * exact)
    assert estimate.error[0] <= 1e-9 * exact


def test_inverse_square_root_at_a_break() -> None:
    estimate = gaussian_average(lambda y: np.stack([1 / np.sqrt(np.abs(y - 1))]), breaks=[1.0])
    below = quad(lambda s: 2 * np.exp(-((1 - s * s) ** 2) / 2), 0, 1, epsrel=1e-12)[0]
    above = quad(lambda s: 2 * np.exp(-((1 + s * s) ** 2) / 2), 0, 4, epsrel=1e-12)[0]
    assert estimate.value[0] == pytest.approx(np.sqrt(2 / np.pi) * (below + above), rel=1e-9)


def test_plane_average_against_scipy_and_a_closed_form() -> None:
    def function(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.stack([1 / (0.3 + first**2 + 2 * second**2), np.sqrt(first**2 + second**2)])

    estimate = gaussian_plane_average(function)
    reference = dblquad(
        lambda r, angle: r * np.exp(-r * r / 2) / (0.3 + r * r * (1 + np.sin(angle) ** 2)),
        0,
        np.pi / 2,
        0,
        10,
    )[0]
    assert estimate.value[0] == pytest.approx(2 / np.pi * reference, rel=1e-8)
    assert estimate.value[1] == pytest.approx(np.sqrt(2) * gamma(1.5), rel=1e-8)


@pytest.mark.parametrize(
    "divergent",
    [
        lambda y: np.exp(0.6 * y**2),
        lambda y: np.exp(0.5 * y**2),
        lambda y: np.exp(y**2),
        lambda y: 1 / (y - 1) ** 2,
        lambda y: 1 / np.abs(y - 1),
        lambda y: 1 / y,
        lambda y: np.where(y > 2, np.nan, y),
    ],
)
def test_divergent_average_is_refused(divergent) -> None:
    with pytest.raises(ConvergenceError):
        gaussian_average(lambda y: np.stack([divergent(y)]))
