from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from phasepipe.analysis.collapse import (
    WINDOW,
    _spline_chi2,
    collapse_quality,
    fit_collapse,
    fit_smooth_collapse,
)
from phasepipe.analysis.collapse_points import CollapsePoints
from phasepipe.analysis.planted import POPULATIONS, PlantedScaling

# shift and width share the exponent: these data collapse
PLANTED = PlantedScaling(alpha_inf=4.0, amplitude=-4.0, omega=0.3, inverse_nu=0.3, width=2.6)
SIZES = [64, 128, 256, 512, 1024]


def draw(seed, planted=PLANTED):
    return planted.draw(SIZES, np.linspace(1.5, 4.5, 16), 60, 8, np.random.default_rng(seed))


def test_quality_of_points_on_one_line_with_known_scatter():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.sort(rng.uniform(0, 1, 300)) for _ in range(4)])
    group = np.repeat(np.arange(4), 300)
    error = rng.uniform(0.01, 0.03, x.size)
    quality, entered = collapse_quality(x, 2 * x + error * rng.normal(size=x.size), error, group)
    assert quality == pytest.approx(1, abs=0.12)
    assert 0.95 < entered.mean() < 1
    shifted, _ = collapse_quality(x, 2 * x + 0.05 * group, error, group)
    assert shifted > 3


def test_quality_by_hand():
    """Point (0.5, 1) of one size between (0, 0) and (1, 1) of the other: master value 1/2, variance 1/2."""
    x, y = np.array([0.0, 1.0, 0.5]), np.array([0.0, 1.0, 1.0])
    quality, entered = collapse_quality(x, y, np.ones(3), np.array([0, 0, 1]))
    assert entered.tolist() == [False, False, True]
    assert quality == pytest.approx(0.25 / 1.5)


def test_points_without_neighbours_do_not_enter():
    quality, entered = collapse_quality(
        np.array([0.0, 1, 2, 3]), np.zeros(4), np.ones(4), np.array([0, 0, 1, 1])
    )
    assert np.isnan(quality)
    assert not entered.any()


def test_planted_collapse_is_found_by_both_measures():
    counts = draw(1)
    found, smooth = fit_collapse(counts), fit_smooth_collapse(counts)
    assert 0.4 < found.quality < 1.8
    assert found.alpha_c == pytest.approx(4, abs=0.3)
    assert found.inverse_nu == pytest.approx(0.3, abs=0.08)
    assert 0.4 < smooth.quality < 1.8
    assert smooth.alpha_c_interval[0] < 4 < smooth.alpha_c_interval[1]
    assert smooth.inverse_nu_interval[0] < 0.3 < smooth.inverse_nu_interval[1]
    assert np.diff(smooth.alpha_c_interval)[0] < 0.8


def test_end_of_a_profile_interval_is_where_chi_squared_reaches_the_quantile():
    counts = draw(6)
    found = fit_smooth_collapse(counts)
    freedom = found.entered - 10
    points = CollapsePoints.of(counts, WINDOW)
    least = found.quality * freedom
    step = max(1.0, found.quality) * stats.t.isf(0.025, freedom) ** 2
    for end in found.alpha_c_interval:
        profile = min(_spline_chi2(points, np.array([end, nu])) for nu in np.linspace(0.15, 0.6, 400))
        assert profile - least == pytest.approx(step, rel=0.15)


def test_a_parameter_at_its_bound_has_no_intervals():
    """Curves that widen with N ask for a negative 1/nu."""
    widening = PlantedScaling(alpha_inf=4.0, amplitude=0.0, inverse_nu=-0.3, width=0.3)
    found = fit_smooth_collapse(draw(7, widening))
    assert "1/nu" in found.at_bound
    assert np.isnan([*found.alpha_c_interval, *found.inverse_nu_interval]).all()


def test_few_points_are_refused():
    counts = PLANTED.draw([64, 128, 256], np.linspace(1.7, 3.6, 6), 64, 16, np.random.default_rng(0))
    with pytest.raises(ValueError, match="a smooth collapse with 10 parameters needs at least 14"):
        fit_smooth_collapse(counts[counts["alpha"] > 2.2])
    with pytest.raises(ValueError, match="15 parameters needs at least 19"):
        fit_smooth_collapse(counts, correction=True)


def test_data_that_do_not_collapse_are_told_by_the_quality():
    other = PlantedScaling(alpha_inf=4.0, amplitude=-30.0, omega=1.0, inverse_nu=-0.3, width=0.22)
    found = fit_collapse(draw(2, other))
    assert found.quality > 2.5


def test_correction_to_scaling_lowers_chi_squared():
    corrected = PlantedScaling(alpha_inf=4.0, amplitude=-12.0, omega=0.8, inverse_nu=0.2)
    counts = corrected.draw(SIZES, np.linspace(2.5, 5, 20), 200, 8, np.random.default_rng(3))
    plain = fit_smooth_collapse(counts)
    better = fit_smooth_collapse(counts, correction=True)
    assert better.quality < plain.quality
    assert np.isfinite(better.omega)


def test_points_that_entered_are_reported():
    found = fit_collapse(draw(4))
    assert len(found.points) == 80
    assert found.entered == found.points["entered"].sum() < 80
    outside = found.points.query("probability < 0.02 or probability > 0.98")
    assert (outside["reason"] == "outside the window of P").all()
    assert (found.points.query("entered")["reason"] == "").all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["logistic", "skewed", "easy or hard"])
def test_profile_intervals_cover_and_quality_is_one(kind):
    planted = replace(PLANTED, population=POPULATIONS[kind])
    found = [fit_smooth_collapse(draw(seed, planted)) for seed in range(100)]
    alpha_c = np.mean([c.alpha_c_interval[0] <= 4 <= c.alpha_c_interval[1] for c in found])
    inverse_nu = np.mean([c.inverse_nu_interval[0] <= 0.3 <= c.inverse_nu_interval[1] for c in found])
    quality = np.mean([c.quality for c in found])
    print(f"{kind}: alpha_c {alpha_c:.3f} inverse_nu {inverse_nu:.3f} mean chi2/dof {quality:.3f}")
    assert alpha_c >= 0.89
    assert inverse_nu >= 0.89
    assert 0.8 < quality < 1.2


def test_one_size_is_refused():
    with pytest.raises(ValueError, match="a collapse needs at least 2 such sizes"):
        fit_collapse(
            PLANTED.draw([64], np.linspace(1.5, 4.5, 8), 20, 4, np.random.default_rng(0)),
        )
