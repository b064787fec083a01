from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from phasepipe.analysis.extrapolation import extrapolate
from phasepipe.analysis.planted import PlantedScaling
from phasepipe.analysis.scaling import extrapolation_table
from phasepipe.analysis.size_fit import fit_form

SIZES = np.array([64, 128, 256, 512, 1024, 2048])
LOGARITHM = PlantedScaling(form="inverse_log", amplitude=-4.0, unit_size=16.0)


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


def test_inverse_logarithm_agrees_with_least_squares_of_scipy():
    value = LOGARITHM.alpha_50(SIZES) + 0.002 * np.random.default_rng(1).normal(size=6)
    error = np.full(6, 0.002)
    fit = chosen(extrapolate(SIZES, value, error), "inverse_log")
    oracle, _ = curve_fit(
        lambda N, a, c, unit: a + c / (np.log(N) - unit),
        SIZES,
        value,
        (4, -4, 2.5),
        error,
        absolute_sigma=True,
    )
    assert fit.limit == pytest.approx(oracle[0], abs=2e-3)
    assert fit.shape == pytest.approx(np.log(64) - oracle[2], abs=5e-3)
    assert fit.predict(SIZES) == pytest.approx(oracle[0] + oracle[1] / (np.log(SIZES) - oracle[2]), abs=1e-4)


def test_log_linear_form_agrees_with_linear_least_squares_and_has_no_limit():
    error = np.linspace(0.01, 0.03, 6)
    value = 1 + 0.1 * np.log(SIZES) + error * np.random.default_rng(2).normal(size=6)
    slope, _ = np.polyfit(np.log(SIZES), value, 1, w=1 / error)
    fit = chosen(extrapolate(SIZES, value, error), "log_linear")
    assert fit.amplitude == pytest.approx(slope)
    assert fit.limit == np.inf
    assert fit.limit_interval == (np.inf, np.inf)
    flat = chosen(extrapolate(SIZES, np.full(6, 2.0) + 0.001 * (-1.0) ** np.arange(6), 0.1), "log_linear")
    assert flat.limit_interval == (-np.inf, np.inf)


@pytest.mark.parametrize("form", ["inverse_log", "power"])
@pytest.mark.parametrize("limit", [None, 4.3])
def test_nothing_depends_on_the_unit_of_N(form, limit):
    """N -> 2 N to the last digit: every number of the table of forms, and what it predicts."""
    planted = PlantedScaling(form=form, unit_size=5.0)
    value = planted.alpha_50(SIZES) + 0.01 * np.random.default_rng(3).normal(size=6)
    first, second = (extrapolate(sizes, value, 0.01, imposed_limit=limit) for sizes in (SIZES, 2 * SIZES))
    assert extrapolation_table(first).identical(extrapolation_table(second))
    for fit, other in zip(first.fits, second.fits, strict=True):
        assert (fit.predict(SIZES) == other.predict(2 * SIZES)).all()
    assert (first.held_out["z"] == second.held_out["z"]).all()
    assert (first.scan["limit"] == second.scan["limit"]).all()


@pytest.mark.parametrize(
    ("form", "planted"), [("inverse_log", LOGARITHM), ("power", PlantedScaling(omega=0.5))]
)
def test_limit_is_covered_and_unbiased(form, planted):
    rng = np.random.default_rng(2)
    fits = []
    for _ in range(400):
        value = planted.alpha_50(SIZES) + 0.01 * rng.normal(size=6)
        fits.append(fit_form(form, None, SIZES, value, np.full(6, 0.01), 0.95).result())
    lower, upper = np.array([fit.limit_interval for fit in fits]).T
    assert 0.92 <= np.mean((lower <= 4) & (upper >= 4)) <= 0.98
    assert np.mean(upper < 4) < 0.05
    assert np.mean(lower > 4) < 0.05
    bounded = np.isfinite(upper - lower)
    middle = np.array([fit.limit for fit in fits])
    assert abs(np.median((middle - 4)[bounded] / (upper - lower)[bounded])) < 0.1
    if form == "power":
        assert (
            0.92 <= np.mean([fit.omega_interval[0] <= 0.5 <= fit.omega_interval[1] for fit in fits]) <= 0.98
        )


def test_logarithmic_growth_is_unbounded_in_every_form():
    value = 1 + 0.5 * np.log(SIZES) + 0.02 * np.random.default_rng(4).normal(size=6)
    study = extrapolate(SIZES, value, 0.02)
    assert all(fit.limit_interval[1] == np.inf for fit in study.fits)
    assert study.limit_range[1] == np.inf
    assert study.limit_range[0] > value[-1]
    falling = extrapolate(SIZES, -value, 0.02)
    assert all(fit.limit_interval[0] == -np.inf for fit in falling.fits)


def test_a_shape_at_its_bound_says_so_and_has_no_interval():
    rising = 1 + 0.02 * np.arange(6) ** 2  # steeper than a logarithm: no form with a limit bends this way
    fit = chosen(extrapolate(SIZES, rising, 0.01), "power")
    assert fit.at_bound == "a + b log N fits best"
    assert np.isnan([*fit.omega_interval, *fit.amplitude_interval]).all()
    assert fit.limit == np.inf
    gone = np.array([1.0, 2, 2, 2, 2, 2])
    fit = chosen(extrapolate(SIZES, gone, 1e-4), "power")
    assert fit.at_bound == "the shift is gone at the second size"
    assert np.isnan(fit.omega_interval).all()


def test_weights_prefer_the_planted_form_only_if_the_data_do():
    truth = LOGARITHM.alpha_50(SIZES)
    sharp = extrapolate(SIZES, truth, 0.0003)
    assert [fit.form for fit in sharp.plausible] == ["inverse_log"]
    blurred = extrapolate(SIZES, truth, 0.3)
    assert {fit.form for fit in blurred.plausible} == {"inverse_log", "log_linear", "power"}
    assert sum(fit.weight for fit in blurred.fits) == pytest.approx(1)
    assert blurred.limit_range[0] < 4 < blurred.limit_range[1]


def test_wrong_imposed_limit_is_rejected_and_held_out_size_misses():
    truth = LOGARITHM.alpha_50(SIZES)
    study = extrapolate(SIZES, truth, 0.0005, imposed_limit=3.5)
    assert chosen(study, "inverse_log", imposed=True).goodness < 1e-3
    held = study.held_out.set_index(["form", "imposed"])["z"]
    assert abs(held["inverse_log", False]) < 0.05
    assert abs(held["inverse_log", True]) > 2


def test_scan_drops_small_sizes_until_no_freedom_is_left():
    study = extrapolate(SIZES, PlantedScaling().alpha_50(SIZES), 0.01)
    assert study.scan.query("form == 'power'")["N_min"].tolist() == [64, 128, 256]
    assert study.scan.query("form == 'log_linear'")["N_min"].tolist() == [64, 128, 256, 512]


def test_two_sizes_have_a_line_and_no_scan():
    study = extrapolate([64, 128], [3.0, 3.2], 0.01, imposed_limit=7.0)
    assert [fit.label for fit in study.fits] == ["log_linear", "inverse_log imposed", "power imposed"]
    assert len(study.scan[~study.scan["imposed"]]) == len(study.held_out[study.held_out["imposed"]]) == 0


def test_a_curve_that_was_not_fitted_is_tested_with_all_degrees_of_freedom():
    planted, rng = PlantedScaling(), np.random.default_rng(5)
    values = [planted.alpha_50(SIZES) + 0.01 * rng.normal(size=6) for _ in range(300)]
    studies = [extrapolate(SIZES, value, 0.01, forms=["log_linear"]) for value in values]
    goodness = [study.hold_against("truth", planted.alpha_50(SIZES)).goodness for study in studies]
    assert np.mean(goodness) == pytest.approx(0.5, abs=0.05)
    wrong = studies[0].hold_against("beside it", planted.alpha_50(SIZES) + 0.02)
    assert wrong.degrees_of_freedom == 6
    assert wrong.goodness < 0.01


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
