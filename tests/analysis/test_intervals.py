from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from phasepipe.analysis.counts import InstanceSums
from phasepipe.analysis.intervals import bootstrap_interval, overdispersion, success_interval
from phasepipe.analysis.planted import POPULATIONS, PlantedScaling

PROBABILITIES = np.array([0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])


def beta_binomial(rng, studies, instances, starts, correlation):
    shape = (studies, len(PROBABILITIES), instances)
    p = np.broadcast_to(PROBABILITIES[None, :, None], shape)
    if correlation > 0:
        concentration = 1 / correlation - 1
        p = rng.beta(p * concentration, (1 - p) * concentration)
    return rng.binomial(starts, p)


def coverage(studies, instances, starts, correlation, seed=0):
    k = beta_binomial(np.random.default_rng(seed), studies, instances, starts, correlation)
    interval = success_interval(k, np.full_like(k, starts), pool_axes=(1,))
    return ((interval.lower <= PROBABILITIES) & (interval.upper >= PROBABILITIES)).mean(0)


@pytest.mark.parametrize(
    ("instances", "starts", "correlation"),
    [(20, 8, 0.1), (20, 64, 0.3), (50, 16, 0.0), (100, 4, 0.3), (200, 1, 0.0)],
)
def test_interval_of_p_covers(instances, starts, correlation):
    measured = coverage(2000, instances, starts, correlation)
    assert 0.94 <= measured.mean() <= 0.965
    # a single p may hit a gap of the discrete counts
    assert measured.min() >= 0.91


def test_easy_and_hard_instances_are_covered_at_every_p():
    """The correlation differs from cell to cell: one pooled value covers 89 to 100 % here."""
    truth = PlantedScaling(population=POPULATIONS["easy or hard"], amplitude=0, inverse_nu=0, width=0.6)
    alpha, rng = 4 + 0.6 * np.array([-0.7, -0.4, 0.0, 0.4, 0.7]), np.random.default_rng(3)
    k = np.stack([truth.draw_counts([64], alpha, 128, 16, rng)[0] for _ in range(1000)])
    interval = success_interval(k, np.full_like(k, 16), pool_axes=(1,))
    p = truth.probability(64, alpha)
    covered = ((interval.lower <= p) & (interval.upper >= p)).mean(0)
    assert ((covered > 0.925) & (covered < 0.985)).all()


def test_ignoring_the_correlation_would_not_cover():
    k = beta_binomial(np.random.default_rng(0), 500, 20, 64, 0.3).sum(-1)
    lower, upper = proportion_confint(k, 20 * 64, method="wilson")
    assert ((lower <= PROBABILITIES) & (upper >= PROBABILITIES)).mean() < 0.6


def test_one_run_per_instance_is_wilson():
    k = np.array([1] * 7 + [0] * 13)
    interval = success_interval(k, np.ones(20))
    lower, upper = proportion_confint(7, 20, method="wilson")
    assert interval.lower == pytest.approx(lower)
    assert interval.upper == pytest.approx(upper)
    assert np.isnan(interval.correlation)


def test_correlation_is_recovered_without_bias():
    k = beta_binomial(np.random.default_rng(1), 2000, 40, 10, 0.25)
    rho = overdispersion(InstanceSums.of(k, np.full_like(k, 10)), pool_axes=(1,)).correlation[:, 0]
    assert rho.mean() == pytest.approx(0.25, abs=0.01)


def test_extremes_keep_a_one_sided_interval():
    k = np.zeros((3, 20))
    k[1] = np.arange(20) % 9
    k[2] = 8
    interval = success_interval(k, np.full((3, 20), 8), pool_axes=(0,))
    assert interval.lower[0] == 0
    assert 0 < interval.upper[0] < 0.1
    assert interval.upper[2] == 1
    assert 0.9 < interval.lower[2] < 1


def test_unknown_correlation_is_taken_as_full():
    interval = success_interval(np.zeros(10), np.full(10, 100))
    assert interval.upper == pytest.approx(proportion_confint(0, 10, method="wilson")[1])


def test_cell_without_runs_is_nan():
    interval = success_interval([[1, 0, 2], [0, 0, 0]], [[2, 2, 2], [0, 0, 0]], pool_axes=(0,))
    assert np.isfinite(interval.lower[0])
    assert np.isnan([interval.probability[1], interval.lower[1], interval.upper[1]]).all()


def test_bootstrap_agrees_with_the_quasi_binomial_interval():
    rng = np.random.default_rng(2)
    k = rng.binomial(16, rng.beta(1.5, 1.5, size=200))
    n = np.full_like(k, 16)
    lower, upper = bootstrap_interval(k, n, rng=rng)
    interval = success_interval(k, n)
    width = interval.upper - interval.lower
    assert lower == pytest.approx(interval.lower, abs=0.1 * width)
    assert upper == pytest.approx(interval.upper, abs=0.1 * width)


def test_bad_counts_are_refused():
    with pytest.raises(ValueError, match="recovered = 5 exceeds runs = 4"):
        success_interval([1, 5], [4, 4])
    with pytest.raises(ValueError, match="negative"):
        success_interval([-1, 2], [4, 4])
    with pytest.raises(ValueError, match="level = 95"):
        success_interval([1, 2], [4, 4], level=95)
    with pytest.raises(ValueError, match="at least 2"):
        bootstrap_interval([1], [4], rng=np.random.default_rng(0))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), min_size=1, max_size=12))
def test_interval_holds_the_estimate_and_mirrors_failures(pairs):
    n = np.array([runs for _, runs in pairs])
    k = np.minimum([recovered for recovered, _ in pairs], n)
    interval = success_interval(k, n)
    assert 0 <= interval.lower <= interval.probability <= interval.upper <= 1
    mirrored = success_interval(n - k, n)
    assert mirrored.lower == pytest.approx(1 - interval.upper, abs=1e-9)
    assert mirrored.upper == pytest.approx(1 - interval.lower, abs=1e-9)
    shuffled = success_interval(k[::-1], n[::-1])
    assert shuffled.upper == pytest.approx(interval.upper)
