"""Fate against early quantities, on planted data."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from phasepipe.analysis.fates import area_under_curve, fate_against, growth_of_area


def planted(rng, instances, starts, strength, correlation=0.0):
    """Recovery with logit ``strength * x + instance effect``; x is standard normal."""
    instance = np.repeat(np.arange(instances), starts)
    x = rng.standard_normal(instance.size)
    logit = strength * x + correlation * rng.standard_normal(instances)[instance]
    return x, rng.random(instance.size) < 1 / (1 + np.exp(-logit)), instance


def test_auc_equals_mann_whitney_and_counts_ties_half():
    rng = np.random.default_rng(0)
    x, fate, _ = planted(rng, 20, 10, 1.0)
    x = np.round(x, 1)
    expected = mannwhitneyu(x[fate], x[~fate]).statistic / (fate.sum() * (~fate).sum())
    assert area_under_curve(x, fate) == pytest.approx(expected, rel=1e-12)
    assert area_under_curve([1, 1, 1], [True, False, True]) == 0.5
    assert area_under_curve([0.0, 1.0, np.inf], [False, False, True]) == 1.0
    assert np.isnan(area_under_curve([1.0, 2.0], [True, True]))


def test_planted_separation_of_two_normals_gives_its_auc():
    """Normals a distance d apart have AUC = Phi(d / sqrt 2)."""
    rng = np.random.default_rng(1)
    fate = rng.random(40_000) < 0.3
    x = rng.standard_normal(fate.size) + 0.8 * fate
    assert area_under_curve(x, fate) == pytest.approx(norm.cdf(0.8 / np.sqrt(2)), abs=0.01)


def test_bins_find_the_planted_probability():
    rng = np.random.default_rng(2)
    x, fate, instance = planted(rng, 400, 50, 2.0)
    result = fate_against(x, fate, instance, bins=8, resamples=200, rng=rng)
    truth = [
        np.mean(1 / (1 + np.exp(-2 * x[(x >= low) & (x <= high)])))
        for low, high in zip(result.bin_low.values, result.bin_high.values, strict=True)
    ]
    np.testing.assert_allclose(result.probability, truth, atol=0.03)
    assert (result.probability_low <= result.probability).all()
    assert (result.probability <= result.probability_high).all()
    assert int(result.runs.sum()) == x.size


def test_interval_of_the_auc_covers_although_starts_are_correlated():
    """Strong instance effects: 95 % intervals that resample instances must hold the truth about 95 %."""
    rng = np.random.default_rng(3)
    x, fate, _ = planted(rng, 20_000, 20, 1.0, correlation=1.5)
    truth = area_under_curve(x, fate)
    covered = 0
    for _ in range(100):
        x, fate, instance = planted(rng, 30, 20, 1.0, correlation=1.5)
        result = fate_against(x, fate, instance, bins=3, resamples=200, rng=rng)
        covered += bool(result.auc_low <= truth <= result.auc_high)
    assert covered >= 86


def test_missing_infinite_and_tied_quantities():
    rng = np.random.default_rng(4)
    x, fate, instance = planted(rng, 10, 10, 1.0)
    x[:7] = np.nan
    x[20:50] = np.inf
    x[50:] = 0.5
    result = fate_against(x, fate, instance, bins=5, resamples=50, rng=rng)
    assert int(result.runs_left_out) == 7
    assert int(result.runs.sum()) == 93
    assert np.isinf(result.bin_high.values[-1])
    assert (result.runs > 0).all()
    same = fate_against(np.ones(100), fate, instance, resamples=50, rng=rng)
    assert same.sizes["bin"] == 1
    assert float(same.auc) == 0.5


def test_one_fate_has_no_auc_and_errors_say_what_is_wrong():
    rng = np.random.default_rng(5)
    result = fate_against(np.arange(20.0), np.ones(20, bool), np.arange(20) // 4, resamples=50, rng=rng)
    assert np.isnan([result.auc, result.auc_low, result.auc_high]).all()
    assert all("long_name" in v.attrs and "units" in v.attrs for v in result.data_vars.values())
    with pytest.raises(ValueError, match="one dimension of runs"):
        fate_against(np.ones(3), np.ones(4, bool), np.ones(3), rng=rng)
    with pytest.raises(ValueError, match="1 instance"):
        fate_against(np.ones(3), np.ones(3, bool), np.ones(3), rng=rng)


def test_interval_of_the_growth_covers_and_is_narrower_than_that_of_independent_areas():
    """|m| at two times, correlated, with instance effects: the growth of the AUC from whole instances."""
    rng = np.random.default_rng(6)

    def drawn(instances):
        late, fate, instance = planted(rng, instances, 20, 1.5, correlation=1.0)
        return 0.7 * late + 0.7 * rng.standard_normal(late.size), late, fate, instance

    early, late, fate, _ = drawn(20_000)
    truth = area_under_curve(late, fate) - area_under_curve(early, fate)
    covered, narrower = 0, 0
    for _ in range(100):
        early, late, fate, instance = drawn(30)
        growth, low, high = growth_of_area(early, late, fate, instance, resamples=200, rng=rng)
        assert growth == pytest.approx(area_under_curve(late, fate) - area_under_curve(early, fate))
        covered += low <= truth <= high
        ends = [fate_against(x, fate, instance, bins=2, resamples=50, rng=rng) for x in (early, late)]
        narrower += high - low < np.hypot(*(float(end.auc_high - end.auc_low) for end in ends))
    assert covered >= 86
    assert narrower >= 90


def test_growth_omits_runs_that_ended_before_the_later_time():
    rng = np.random.default_rng(7)
    x, fate, instance = planted(rng, 30, 10, 1.0)
    late = np.where(rng.random(x.size) < 0.2, np.nan, x)
    assert growth_of_area(x, late, fate, instance, resamples=50, rng=rng) == (0.0, 0.0, 0.0)
    assert np.isnan(growth_of_area(x, late, np.ones(x.size, bool), instance, resamples=50, rng=rng)).all()
