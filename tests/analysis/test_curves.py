from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit

from phasepipe.analysis.counts import tidy_counts
from phasepipe.analysis.curves import CurveStatus, curve_table, fit_curves
from phasepipe.analysis.monotone import posterior_curves, weighted_quantiles
from phasepipe.analysis.planted import POPULATIONS, PlantedScaling

N = 256


def planted(kind="logistic", **settings):
    return PlantedScaling(population=POPULATIONS[kind], **settings)


def grid(truth, cells, low=-1.0, high=1.4):
    return truth.alpha_50(N) + np.linspace(low, high, cells)


def test_a_logistic_truth_with_many_runs_agrees_with_statsmodels():
    """Independent oracle: the generalised linear model, where the curve is logistic and the data say so."""
    alpha = np.linspace(1, 4, 13)
    runs = np.full(13, 4000)
    recovered = np.random.default_rng(0).binomial(runs, expit(3 * (alpha - 2.4)))
    oracle = sm.GLM(
        np.stack([recovered, runs - recovered], -1), sm.add_constant(alpha), sm.families.Binomial()
    ).fit()
    intercept, slope = oracle.params
    variance = oracle.cov_params()
    gradient = -np.array([1 / slope, -intercept / slope**2])
    fit = fit_curves(tidy_counts(N, alpha, recovered, runs))[0]
    assert fit.alpha_50 == pytest.approx(-intercept / slope, abs=fit.alpha_50_error)
    assert fit.width == pytest.approx(2 * np.log(3) / slope, rel=0.02)
    # freedom of shape costs, but not much where there are many cells
    assert 1 <= fit.alpha_50_error / np.sqrt(gradient @ variance @ gradient) < 1.8


def test_draws_have_the_moments_of_the_posterior_by_quadrature():
    """One cell pair and nearly no freedom of shape: level and slope by brute force on a grid."""
    alpha, recovered, runs = np.array([2.0, 3.0]), np.array([6.0, 21.0]), np.array([30.0, 30.0])
    curves = posterior_curves(alpha, recovered, runs)
    straight = curves.roughness == curves.roughness.min()
    weight = curves.weight[straight] / curves.weight[straight].sum()
    drawn = curves.crossing(0.5)[straight]
    level, log_slope = np.meshgrid(np.linspace(-4, 4, 801), np.linspace(-8, 6, 801), indexing="ij")
    pilot = np.log(np.diff(np.log(recovered / (runs - recovered)))[0] / 2)
    slope = np.exp(log_slope)
    density = -0.5 * (level / 10) ** 2 - 0.5 * ((log_slope - pilot) / 3) ** 2
    for u, k, n in zip((-1, 1), recovered, runs, strict=True):
        density += -k * np.logaddexp(0, -level - slope * u) - (n - k) * np.logaddexp(0, level + slope * u)
    mass = np.exp(density - density.max()).ravel()
    exact = weighted_quantiles((2.5 - 0.5 * level / slope).ravel(), mass, [0.1, 0.5, 0.9])
    assert weighted_quantiles(drawn, weight, [0.1, 0.5, 0.9]) == pytest.approx(exact, abs=0.05)


def test_curves_never_fall_and_lie_in_their_band():
    fit = fit_curves(planted("some never").draw([N], grid(planted(), 9), 20, 4, np.random.default_rng(1)))[0]
    alpha = np.linspace(fit.cells.alpha[0], fit.cells.alpha[-1], 50)
    lower, upper = fit.band(alpha)
    assert (np.diff(fit.probability(alpha)) >= 0).all()
    assert ((lower <= fit.probability(alpha)) & (fit.probability(alpha) <= upper)).all()


def test_a_mirrored_curve_has_a_mirrored_alpha_50_and_the_same_width():
    """Failures instead of recoveries against -alpha: nothing prefers one side. Draws leave a few per cent."""
    truth = planted("skewed")
    counts = truth.draw([N], grid(truth, 7, -0.6, 0.9), 60, 8, np.random.default_rng(2))
    mirrored = counts.assign(alpha=6 - counts["alpha"], recovered=counts["runs"] - counts["recovered"])
    fit, other = fit_curves(counts)[0], fit_curves(mirrored)[0]
    assert other.alpha_50 == pytest.approx(6 - fit.alpha_50, abs=0.15 * fit.alpha_50_error)
    assert other.alpha_50_error == pytest.approx(fit.alpha_50_error, rel=0.15)
    assert other.width == pytest.approx(fit.width, abs=0.25 * fit.width_error)


def test_unit_of_alpha_does_not_matter_and_the_same_counts_give_the_same_numbers():
    truth = planted("skewed")
    counts = truth.draw([N], grid(truth, 7), 40, 8, np.random.default_rng(3))
    fit, again = fit_curves(counts)[0], fit_curves(counts)[0]
    assert (again.alpha_50, again.width_upper) == (fit.alpha_50, fit.width_upper)
    scaled = fit_curves(counts.assign(alpha=8 * counts["alpha"]))[0]
    assert scaled.alpha_50 == pytest.approx(8 * fit.alpha_50, rel=1e-9)
    assert scaled.width == pytest.approx(8 * fit.width, rel=1e-9)


def test_model_spread_grows_where_the_shape_is_open_and_is_part_of_the_error():
    truth = planted("skewed")
    rng = np.random.default_rng(4)
    coarse = [fit_curves(truth.draw([N], grid(truth, 3, -0.5, 0.9), 200, 16, rng))[0] for _ in range(8)]
    fine = [fit_curves(truth.draw([N], grid(truth, 13, -0.5, 0.9), 200, 16, rng))[0] for _ in range(8)]
    assert all(0 < fit.alpha_50_model < fit.alpha_50_error for fit in coarse + fine)
    assert np.mean([fit.alpha_50_model for fit in coarse]) > 1.5 * np.mean(
        [fit.alpha_50_model for fit in fine]
    )


def test_grid_below_the_crossing_is_reported():
    truth = planted()
    fit = fit_curves(truth.draw([N], grid(truth, 6, -2, -0.4), 30, 8, np.random.default_rng(0)))[0]
    assert fit.status is CurveStatus.NOT_BRACKETED
    assert np.isnan([fit.alpha_50, fit.width, fit.alpha_50_model]).all()
    assert fit.alpha_50_lower < truth.alpha_50(N) < fit.alpha_50_upper == np.inf
    assert "larger alphas are needed" in fit.message


def test_grid_above_the_crossing_is_reported():
    truth = planted()
    fit = fit_curves(truth.draw([N], grid(truth, 6, 0.4, 2), 30, 8, np.random.default_rng(0)))[0]
    assert fit.status is CurveStatus.NOT_BRACKETED
    assert -np.inf == fit.alpha_50_lower < truth.alpha_50(N) < fit.alpha_50_upper
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


def test_quartiles_beyond_the_grid_are_said_to_be():
    truth = planted("some never")  # P at the largest alpha shows the lapse: 0.75 is never reached for sure
    fit = fit_curves(truth.draw([N], grid(truth, 4, -0.1, 0.25), 30, 8, np.random.default_rng(5)))[0]
    assert fit.status is CurveStatus.FITTED
    assert fit.width_upper == np.inf
    assert "do not reach both quartiles" in fit.message


def coverage_of_logit(counts, truth):
    """The rival: a logistic curve by statsmodels, quasi-binomial, with a delta-method interval."""
    cells = counts.groupby("alpha")[["recovered", "runs"]].sum()
    k, n = cells["recovered"], cells["runs"]
    design = sm.add_constant(cells.index.to_numpy(float))
    fit = sm.GLM(np.stack([k, n - k], -1), design, sm.families.Binomial()).fit(scale="X2")
    (intercept, slope), gradient = (
        fit.params,
        -np.array([1 / fit.params[1], -fit.params[0] / fit.params[1] ** 2]),
    )
    error = np.sqrt(gradient @ fit.cov_params() @ gradient)
    return abs(-intercept / slope - truth) < 1.96 * error


def test_skewed_truth_is_covered_where_the_logit_misses():
    truth = planted("skewed", inverse_nu=0.0, width=0.45, alpha_inf=2.5, amplitude=0)
    rng = np.random.default_rng(6)
    alphas = 2.5 + np.linspace(-0.45, 0.75, 7)
    ours, logit = [], []
    for _ in range(100):
        counts = truth.draw([N], alphas, 200, 16, rng)
        fit = fit_curves(counts)[0]
        ours.append(fit.alpha_50_lower <= 2.5 <= fit.alpha_50_upper)
        logit.append(coverage_of_logit(counts, 2.5))
    assert np.mean(ours) >= 0.89
    assert np.mean(logit) < 0.85


def test_goodness_is_uniform_when_the_cells_scatter_as_they_say():
    rng = np.random.default_rng(1)
    truth = planted()
    goodness = [fit_curves(truth.draw([N], grid(truth, 9), 30, 8, rng))[0].goodness for _ in range(100)]
    assert np.mean(np.array(goodness) < 0.1) < 0.22
    assert 0.35 < np.mean(goodness) < 0.7


def test_goodness_tells_cells_that_scatter_more_than_their_instances():
    alpha = np.linspace(1, 4, 13)
    p = expit(3 * (alpha - 2.4)) * (1 - 0.25 * (np.arange(13) % 2))
    k = np.random.default_rng(0).binomial(8, np.broadcast_to(p[:, None], (13, 400)))
    assert fit_curves(tidy_counts(N, alpha[:, None], k, 8, np.arange(400)))[0].goodness < 1e-3


def test_table_is_labelled():
    truth = planted()
    table = curve_table(fit_curves(truth.draw([64, N], grid(truth, 7), 20, 4, np.random.default_rng(0))))
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
    assert 3 < middle.alpha_50 < middle.alpha_50_upper < largest.alpha_50_upper
    assert largest.alpha_50_lower < largest.alpha_50
    assert isinstance(curve_table([middle, largest]).to_dataframe(), pd.DataFrame)
