from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasepipe import NormalisedQuartic, Quartic
from phasepipe.theory import proximal_map

fields = st.floats(0.0, 12.0)
labels = st.floats(1e-3, 8.0)
stiffnesses = st.floats(-3.0, 3.0).map(np.exp)


def cost(loss, yhat, h, y, chi):
    return loss.value(yhat, y) + (yhat - h) ** 2 / (2 * chi)


def brute_force(loss, h, y, chi):
    grid = np.linspace(-max(h, y) - 1, max(h, y) + 1, 200_001)
    return cost(loss, grid, h, y, chi).min()


@settings(max_examples=60, deadline=None)
@given(h=fields, y=labels, chi=stiffnesses, a=st.sampled_from([0.001, 0.1, 1.0, 10.0, None]))
def test_cubic_is_the_global_minimum(h: float, y: float, chi: float, a: float | None) -> None:
    loss = Quartic() if a is None else NormalisedQuartic(a)
    yhat = float(proximal_map(loss, np.array(h), np.array(y), chi))
    reached = cost(loss, yhat, h, y, chi)
    assert reached <= brute_force(loss, h, y, chi) * (1 + 1e-12) + 1e-14
    assert yhat + chi * loss.slope(yhat, y) == pytest.approx(h, abs=1e-9 * (1 + h + y) * (1 + chi * y * y))


@settings(max_examples=60, deadline=None)
@given(h=fields, y=labels, chi=stiffnesses, eps=st.sampled_from([0.01, 0.1, 1.0]))
def test_safeguarded_search_is_the_global_minimum(perturbed_amplitude, h, y, chi, eps) -> None:
    loss = perturbed_amplitude(eps)
    yhat = float(proximal_map(loss, np.array(h), np.array(y), chi))
    assert cost(loss, yhat, h, y, chi) <= brute_force(loss, h, y, chi) * (1 + 1e-12) + 1e-14


@pytest.mark.parametrize("chi", [0.1, 0.9, 1.1, 5.0])
def test_search_agrees_with_the_cubic(scaled, chi: float) -> None:
    loss = NormalisedQuartic(1.0)
    generator = np.random.default_rng(1)
    h, y = np.abs(generator.normal(size=(2, 500))) * 2
    h[:50] = 0
    exact, searched = proximal_map(loss, h, y, chi), proximal_map(scaled(loss), h, y, chi)
    np.testing.assert_allclose(searched, exact, rtol=1e-9, atol=1e-12)


def test_symmetry_and_the_limit_from_above() -> None:
    loss, chi = NormalisedQuartic(1.0), 3.0
    h, y = np.array([0.3, 1.0, 2.5]), np.array([2.0, -0.5, 1.0])
    np.testing.assert_array_equal(proximal_map(loss, -h, y, chi), -proximal_map(loss, h, y, chi))
    np.testing.assert_array_equal(proximal_map(loss, h, -y, chi), proximal_map(loss, h, y, chi))
    start = proximal_map(loss, np.zeros(2), np.array([2.0, 0.5]), chi)
    np.testing.assert_allclose(start, [np.sqrt(4 - 5 / 3), 0.0], atol=1e-12)
