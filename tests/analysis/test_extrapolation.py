from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from phasepipe.analysis.curves import fit_curves
from phasepipe.analysis.extrapolation import extrapolate
from phasepipe.analysis.planted import PlantedScaling
from phasepipe.analysis.size_fit import fit_form

SIZES = np.array([64, 128, 256, 512, 1024, 2048])


def chosen(extrapolation, form, imposed=False):
    return next(fit for fit in extrapolation.fits if fit.form == form and fit.imposed == imposed)


def test_power_law_agrees_with_least_squares_of_scipy():
    planted = PlantedScaling(omega=0.4)
    value = planted.alpha_50(SIZES) + 0.01 * np.random.default_rng(0).normal(size=6)
    error = np.full(6, 0.01)
    fit = chosen(extrapolate(SIZES, value, error), "power")
    oracle, _ = curve_fit(
        lambda N, a, c, w: a + c * N**-w, SIZES, value, (4, -5, 0.5), error, absolute_sigma=True
    )
    assert fit.limit == pytest.approx(oracle[0], abs=2e-3)
    assert fit.omega == pytest.approx(oracle[2], abs=2e-3)
    lower = fit.limit_interval[0]  # its chi-squared with the limit imposed is the threshold
    imposed = chosen(extrapolate(SIZES, value, error, imposed_limit=lower), "power", imposed=True)
    assert imposed.chi2 - fit.chi2 == pytest.approx(1.96**2, abs=0.05)


def test_logarithmic_forms_agree_with_linear_least_squares():
    value, error = PlantedScaling(form="inverse_log").alpha_50(SIZES), np.linspace(0.01, 0.03, 6)
    value = value + error * np.random.default_rng(1).normal(size=6)
    coefficients, covariance = np.polyfit(1 / np.log(SIZES), value, 1, w=1 / error, cov="unscaled")
    fit = chosen(extrapolate(SIZES, value, error), "inverse_log")
    assert fit.limit == pytest.approx(coefficients[1])
    assert fit.amplitude == pytest.approx(coefficients[0])
    half = (fit.limit_interval[1] - fit.limit_interval[0]) / 2
    assert half == pytest.approx(1.959964 * np.sqrt(covariance[1, 1]), rel=1e-5)


@pytest.mark.parametrize("form", ["inverse_log", "inverse_log_squared", "power"])
def test_limit_is_covered_and_unbiased(form):
    planted = PlantedScaling(form=form, omega=0.5)
    rng = np.random.default_rng(2)
    fits = []
    for _ in range(400):
        value = planted.alpha_50(SIZES) + 0.01 * rng.normal(size=6)
        fits.append(fit_form(form, None, SIZES, value, np.full(6, 0.01), 0.95).result())
    assert 0.92 <= np.mean([fit.limit_interval[0] <= 4 <= fit.limit_interval[1] for fit in fits]) <= 0.98
    assert abs(np.mean([(fit.limit - 4) / np.diff(fit.limit_interval)[0] for fit in fits])) < 0.1
    if form == "power":
        assert (
            0.92 <= np.mean([fit.omega_interval[0] <= 0.5 <= fit.omega_interval[1] for fit in fits]) <= 0.98
        )
        assert abs(np.mean([(fit.omega - 0.5) / np.diff(fit.omega_interval)[0] for fit in fits])) < 0.1


# the fit of alpha_50 and the extrapolation together, where the power law is resolved
@pytest.mark.slow
@pytest.mark.parametrize("form", ["inverse_log", "power"])
def test_whole_study_covers_in_2000_studies(form):
    planted = PlantedScaling(form=form, amplitude=-6.0, omega=0.5, correlation=0.15)
    rng = np.random.default_rng(3)
    sizes = [64, 128, 256, 512, 1024]
    alphas = planted.alpha_50(sizes)[:, None] + np.linspace(-0.9, 1.1, 8)
    results = []
    for _ in range(2000):
        fits = fit_curves(planted.draw(sizes, alphas, 60, 8, rng), rng=rng)
        value, error = np.array([(fit.alpha_50, fit.alpha_50_error) for fit in fits]).T
        fit = extrapolate(sizes, value, error, forms=[form]).fits[0]
        results.append((fit.limit, *fit.limit_interval, fit.omega, *fit.omega_interval))
    limit, lower, upper, omega, omega_lower, omega_upper = np.array(results).T
    covered = np.mean((lower <= 4) & (upper >= 4))
    bounded = np.isfinite(upper - lower)
    bias = np.median((limit - 4)[bounded] / (upper - lower)[bounded])
    print(f"{form}: alpha_inf {covered:.4f}, bias / interval {bias:.4f}, bounded {bounded.mean():.4f}")
    assert 0.93 <= covered <= 0.97
    assert abs(bias) < 0.1
    if form == "power":
        covered = np.mean((omega_lower <= 0.5) & (omega_upper >= 0.5))
        bias = np.median((omega - 0.5) / (omega_upper - omega_lower))
        print(f"omega {covered:.4f}, bias / interval {bias:.4f}")
        assert 0.93 <= covered <= 0.97
        assert abs(bias) < 0.1


def test_logarithmic_growth_has_no_bounded_limit():
    value = 1 + 0.5 * np.log(SIZES) + 0.02 * np.random.default_rng(4).normal(size=6)
    fit = chosen(extrapolate(SIZES, value, 0.02), "power")
    assert fit.limit_interval[1] == np.inf
    assert fit.omega_interval[0] == 0


def test_weights_prefer_the_planted_form_only_if_the_data_do():
    truth = PlantedScaling(form="inverse_log").alpha_50(SIZES)
    sharp = extrapolate(SIZES, truth, 0.0005)
    assert chosen(sharp, "inverse_log").weight > 0.6
    assert [fit.form for fit in sharp.plausible if fit.form == "inverse_log_squared"] == []
    blurred = extrapolate(SIZES, truth, 0.1)
    assert {fit.form for fit in blurred.plausible} == {"inverse_log", "inverse_log_squared", "power"}
    assert sum(fit.weight for fit in blurred.fits) == pytest.approx(1)
    assert blurred.limit_range[0] < 4 < blurred.limit_range[1]


def test_wrong_imposed_limit_is_rejected_and_held_out_size_misses():
    truth = PlantedScaling(form="inverse_log").alpha_50(SIZES)
    study = extrapolate(SIZES, truth, 0.003, imposed_limit=3.2)
    assert chosen(study, "inverse_log", imposed=True).goodness < 1e-3
    held = study.held_out.set_index(["form", "imposed"])["z"]
    assert abs(held["inverse_log", False]) < 1e-6
    assert abs(held["inverse_log", True]) > 2


def test_scan_drops_small_sizes_until_no_freedom_is_left():
    study = extrapolate(SIZES, PlantedScaling().alpha_50(SIZES), 0.01)
    assert study.scan.query("form == 'power'")["N_min"].tolist() == [64, 128, 256]
    assert study.scan.query("form == 'inverse_log'")["N_min"].tolist() == [64, 128, 256, 512]


def test_sizes_without_a_value_are_listed():
    value = PlantedScaling().alpha_50(SIZES)
    value[1] = np.nan
    study = extrapolate(SIZES, value, 0.01)
    assert study.excluded.tolist() == [128]
    assert len(study.N) == 5


def test_bad_input_is_refused():
    with pytest.raises(
        ValueError, match="alpha_50 is known at 1 size; an extrapolation in N needs at least 2"
    ):
        extrapolate([64], [3.0], [0.1])
    with pytest.raises(ValueError, match=r"known at 1 size \(1 more without a value\)"):
        extrapolate([64, 128], [3.0, np.nan], [0.1, 0.1])
    with pytest.raises(ValueError, match="repeat"):
        extrapolate([64, 64], [3.0, 3.1], [0.1, 0.1])
    with pytest.raises(ValueError, match="must be positive"):
        extrapolate([64, 128], [3.0, 3.1], [0.1, 0.0])
