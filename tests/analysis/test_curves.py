from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from phasepipe.analysis.counts import tidy_counts
from phasepipe.analysis.curves import CurveStatus, curve_table, fit_curves
from phasepipe.analysis.likelihood import DISTRIBUTIONS, fit_batch
from phasepipe.analysis.planted import PlantedScaling

SM_LINKS = {"logit": sm.families.links.Logit(), "probit": sm.families.links.Probit()}
QUARTILES = {"logit": 2 * np.log(3), "probit": 2 * 0.6744897501960817}
N = 256


def grid(planted, cells, low=-1.0, high=1.4):
    return planted.alpha_50(N) + np.linspace(low, high, cells)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_batch_agrees_with_statsmodels(link):
    rng = np.random.default_rng(0)
    u = np.linspace(-1, 1, 9)
    design = np.stack([np.ones_like(u), u], axis=-1)
    k = rng.binomial(50, DISTRIBUTIONS[link].cumulative(0.3 + 3 * u), size=(10, 9)).astype(float)
    batch = fit_batch(design[None], k, np.full(9, 50.0), link=link)
    for row, counts in enumerate(k):
        oracle = sm.GLM(
            np.stack([counts, 50 - counts], -1), design, sm.families.Binomial(SM_LINKS[link])
        ).fit()
        assert batch.coefficients[row] == pytest.approx(oracle.params, rel=1e-4)
        assert batch.deviance[row] == pytest.approx(oracle.deviance, abs=1e-6)
        assert np.linalg.inv(batch.information[row]) == pytest.approx(oracle.cov_params(), rel=1e-2)


def test_interval_is_where_the_profile_reaches_the_quantile():
    """Independent oracle: statsmodels with alpha_50 imposed, one run per instance."""
    planted = PlantedScaling(correlation=0.0)
    fit = fit_curves(planted.draw([N], grid(planted, 8), 60, 1, np.random.default_rng(3)))[0]
    k, n = fit.cells.sums.recovered, fit.cells.sums.runs

    def deviance(design):
        return sm.GLM(np.stack([k, n - k], -1), design, sm.families.Binomial()).fit().deviance

    free = deviance(sm.add_constant(fit.cells.alpha))
    assert fit.deviance == pytest.approx(free, abs=1e-6)
    for end in (fit.alpha_50_lower, fit.alpha_50_upper):
        assert deviance((fit.cells.alpha - end)[:, None]) - free == pytest.approx(1.96**2, abs=0.02)


def coverage(planted, instances, starts, cells, studies, seed=0):
    rng = np.random.default_rng(seed)
    alpha, truth = grid(planted, cells), planted.alpha_50(N)
    width = QUARTILES[planted.link] * planted.scale * N**-planted.inverse_nu
    fits = [
        fit_curves(planted.draw([N], alpha, instances, starts, rng), link=planted.link)[0]
        for _ in range(studies)
    ]
    midpoint = np.mean([fit.alpha_50_lower <= truth <= fit.alpha_50_upper for fit in fits])
    of_width = np.mean(
        [fit.width_lower <= width <= fit.width_upper for fit in fits if np.isfinite(fit.width)]
    )
    bias = np.nanmean([(fit.alpha_50 - truth) / (fit.alpha_50_upper - fit.alpha_50_lower) for fit in fits])
    return midpoint, of_width, bias


def test_intervals_cover_in_a_small_number_of_studies():
    midpoint, of_width, bias = coverage(PlantedScaling(correlation=0.15), 30, 8, 9, 150)
    assert midpoint >= 0.90
    assert of_width >= 0.88
    assert abs(bias) < 0.1


CASES = [
    (PlantedScaling(correlation=0.15), 20, 8, 9),
    (PlantedScaling(correlation=0.0), 100, 1, 9),
    (PlantedScaling(correlation=0.3, link="probit", scale=1.6), 20, 16, 7),
]


@pytest.mark.slow
@pytest.mark.parametrize(("planted", "instances", "starts", "cells"), CASES)
def test_intervals_cover_in_2000_studies(planted, instances, starts, cells):
    midpoint, of_width, bias = coverage(planted, instances, starts, cells, 2000)
    print(f"alpha_50 {midpoint:.4f} width {of_width:.4f} bias / interval {bias:.4f}")
    assert 0.93 <= midpoint <= 0.97
    assert 0.92 <= of_width <= 0.97
    assert abs(bias) < 0.1


def test_grid_below_the_crossing_is_reported():
    planted = PlantedScaling()
    fit = fit_curves(planted.draw([N], grid(planted, 6, -2, -0.4), 30, 8, np.random.default_rng(0)))[0]
    assert fit.status is CurveStatus.NOT_BRACKETED
    assert np.isnan(fit.alpha_50)
    assert fit.alpha_50_lower < planted.alpha_50(N) < fit.alpha_50_upper == np.inf
    assert "larger alphas are needed" in fit.message


def test_grid_above_the_crossing_is_reported():
    planted = PlantedScaling()
    fit = fit_curves(planted.draw([N], grid(planted, 6, 0.4, 2), 30, 8, np.random.default_rng(0)))[0]
    assert fit.status is CurveStatus.NOT_BRACKETED
    assert -np.inf == fit.alpha_50_lower < planted.alpha_50(N) < fit.alpha_50_upper
    assert "smaller alphas are needed" in fit.message


def test_flat_curve_is_not_given_a_midpoint():
    fit = fit_curves(tidy_counts(N, [1.0, 2.0, 3.0, 4.0], [25, 24, 27, 26], 51))[0]
    assert fit.status in (CurveStatus.NOT_BRACKETED, CurveStatus.UNRESOLVED)
    assert not np.isfinite(fit.alpha_50_upper)


def test_step_is_bracketed_by_its_cells():
    k = [[0] * 20, [0] * 20, [4] * 20, [4] * 20]
    fit = fit_curves(tidy_counts(N, np.array([1.0, 2.0, 3.0, 4.0])[:, None], k, 4, np.arange(20)))[0]
    assert 1.9 < fit.alpha_50_lower < fit.alpha_50 < fit.alpha_50_upper < 3.1
    assert fit.width_lower == 0
    assert "upper bound only" in fit.message


def test_lapse_is_used_when_asked_for_and_only_then():
    rng = np.random.default_rng(0)
    with_lapse = PlantedScaling(lapse=0.15, correlation=0.05)
    fit = fit_curves(with_lapse.draw([N], grid(with_lapse, 15, -1, 2.5), 100, 8, rng))[0]
    assert fit.lapse == pytest.approx(0.15, abs=0.04)
    scale = with_lapse.scale * N**-with_lapse.inverse_nu
    half = with_lapse.alpha_50(N) + scale * np.log((0.5 / 0.85) / (1 - 0.5 / 0.85))
    assert fit.alpha_50_lower < half < fit.alpha_50_upper
    without = PlantedScaling(correlation=0.05)
    fits = [fit_curves(without.draw([N], grid(without, 9), 30, 8, rng))[0] for _ in range(30)]
    assert sum(fit.lapse > 0 for fit in fits) <= 1


def test_rejected_curve_falls_back_to_the_isotonic_fit():
    alpha = np.linspace(1, 5, 9)
    p = np.array([0.02, 0.3, 0.35, 0.4, 0.45, 0.55, 0.6, 0.62, 0.98])
    k = np.random.default_rng(0).binomial(8, np.broadcast_to(p[:, None], (9, 200)))
    fit = fit_curves(tidy_counts(N, alpha[:, None], k, 8, np.arange(200)))[0]
    assert fit.status is CurveStatus.ISOTONIC
    assert fit.goodness < 0.01
    assert fit.alpha_50_lower < 3.25 < fit.alpha_50_upper


def test_goodness_is_uniform_when_the_curve_is_true():
    rng = np.random.default_rng(1)
    planted = PlantedScaling(correlation=0.2)
    goodness = [fit_curves(planted.draw([N], grid(planted, 9), 30, 8, rng))[0].goodness for _ in range(100)]
    assert np.mean(np.array(goodness) < 0.1) < 0.22
    assert 0.35 < np.mean(goodness) < 0.65


def test_table_is_labelled():
    planted = PlantedScaling()
    table = curve_table(fit_curves(planted.draw([64, N], grid(planted, 7), 20, 4, np.random.default_rng(0))))
    assert list(table["N"].values) == [64, N]
    assert all({"long_name", "units"} <= set(variable.attrs) for variable in table.data_vars.values())


def test_bad_tables_are_refused():
    with pytest.raises(ValueError, match="N = 64 has the single alpha = 2; a success curve needs at least 2"):
        fit_curves(tidy_counts(64, [2.0, 2.0], [3, 4], 8))
    with pytest.raises(ValueError, match=r"N = 64, alpha = 3.*recovered > runs"):
        tidy_counts(64, [2.0, 3.0], [3, 9], 8)
    with pytest.raises(ValueError, match=r"N = 64, alpha = 3.*is a missing cell"):
        tidy_counts(64, [2.0, 3.0], [3, np.nan], 8)
    with pytest.raises(ValueError, match="not a count"):
        tidy_counts(64, [2.0, 3.0], [3, 0.5], 8)
    with pytest.raises(ValueError, match="no runs"):
        tidy_counts(64, [2.0, 3.0], 0, 0)


def test_published_counts_cross_and_drift_upward():
    """Independent runs at a = 1, 1,200 per point: P at alpha = 3 and 5 for N = 64, 128, 256."""
    P = np.array([[0.62, 0.97], [0.48, 0.98], [0.34, 0.98]])
    counts = tidy_counts(np.array([64, 128, 256])[:, None], [3.0, 5.0], np.round(1200 * P), 1200)
    smallest, middle, largest = fit_curves(counts)
    assert smallest.status is CurveStatus.NOT_BRACKETED
    assert smallest.alpha_50_upper == 3
    assert middle.status is largest.status is CurveStatus.FITTED
    assert 3 < middle.alpha_50 < middle.alpha_50_upper < largest.alpha_50_lower
