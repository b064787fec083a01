import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

import phasepipe as pp


def overlaps(points, signal):
    return points @ signal / len(signal)


@given(count=st.integers(1, 6), seed=st.integers(0, 1000), m0=st.floats(0, 0.999))
def test_starts_lie_on_the_sphere_with_their_overlap(count, seed, m0):
    problem = pp.Problem.draw(N=30, alpha=2, seed=1)
    for points in (
        pp.starts.random(problem, count, seed),
        warm := pp.starts.warm(problem, count, seed, m0=m0),
    ):
        np.testing.assert_allclose((points**2).sum(axis=1), 30, rtol=1e-12)
    np.testing.assert_allclose(overlaps(warm, problem.signal), m0, atol=1e-12)


def test_a_start_has_the_same_number_in_every_batch():
    problem = pp.Problem.draw(N=10, alpha=2, seed=1)
    whole = pp.starts.random(problem, 8, seed=2)
    np.testing.assert_array_equal(whole[5:], pp.starts.random(problem, 3, seed=2, first=5))


def test_random_starts_are_uniform():
    problem = pp.Problem.draw(N=200, alpha=1, seed=1)
    scaled = overlaps(pp.starts.random(problem, 2000, seed=7), problem.signal) * np.sqrt(200)
    assert kstest(scaled, norm.cdf).pvalue > 1e-3


def test_starts_of_instances_and_kinds_are_independent():
    one, two = (pp.Problem.draw(N=50, alpha=2, seed=1, instance=i) for i in range(2))
    blocks = [
        pp.starts.random(one, 1, 0),
        pp.starts.random(two, 1, 0),
        pp.starts.warm(one, 1, 0, m0=0),
    ]
    products = np.concatenate(blocks) @ np.concatenate(blocks).T / 50
    assert np.abs(products[np.triu_indices(3, 1)]).max() < 0.6


@pytest.mark.parametrize("m0", [-0.1, 1.0, 1.5])
def test_overlap_out_of_range_is_refused(m0):
    with pytest.raises(ValueError, match="lies outside"):
        pp.starts.warm(pp.Problem.draw(N=10, alpha=2, seed=1), 1, 0, m0=m0)


def test_no_starts_are_refused():
    with pytest.raises(ValueError, match="count = 0"):
        pp.starts.random(pp.Problem.draw(N=10, alpha=2, seed=1), 0, 0)
