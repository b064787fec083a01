"""Criteria of the claims that hold the theory of the dynamics against runs, on planted data."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

from phasepipe.analysis.summaries import clustered_mean
from phasepipe.physics.outcomes import Outcome
from study import predictions
from study.claims import dynamics, medians, predicted
from study.claims.finding import Verdict

YES, NO, OPEN = Verdict.CONFIRMED, Verdict.NOT_CONFIRMED, Verdict.UNDECIDED


def gains(**columns):
    row = {"a": 1.0, "alpha": 3.0, "t_max": 10.0, "t_bbp": 1.75, "t_bbp_error": 0.03, "ever": True}
    row |= {"window": 1.0, "window_error": 0.01, "end": 1.5, "end_error": 0.01, "later": 0.5}
    row |= {"later_error": 0.02, "outlier": 1.0, "outlier_error": 0.01}
    return pd.DataFrame([row | {"parting": -0.1, "parting_error": 0.02} | columns])


LASTING = {"t_bbp": np.inf, "t_bbp_error": 0.03}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, YES),
        ({"t_bbp": 9.9, "t_bbp_error": 0.5}, OPEN),
        (LASTING, OPEN),  # it approaches the bulk, and may end later
        (LASTING | {"parting": 0.02}, OPEN),
        (LASTING | {"parting": 0.1}, NO),
        (LASTING | {"parting": np.nan, "parting_error": np.nan}, OPEN),
    ],
)
def test_a_finite_window(columns, expected):
    part = dynamics.finite(pd.concat([gains(), gains(alpha=4.0, **columns)], ignore_index=True))
    assert part.verdict is expected
    assert "at a = 1 up to alpha = 4 (alpha_threshold 7.09)" in part.statement


def test_an_outlier_parts_from_the_bulk_or_does_not():
    """Its distance from the edge at the last time less that at half of it, for series with a known one."""
    time = np.linspace(0, 10, 21)
    series = pd.DataFrame({"a": 1.0, "alpha": 3.0, "time": time, "t_bbp": np.inf, "t_bbp_error": np.nan})
    series = series.assign(
        edge=-1 + 0.05 * time, edge_error=0.01, outlier=-1 - 0.02 * time, outlier_error=0.02
    )
    series = series.assign(amplification=1.0, amplification_error=0.01)
    found = dynamics.gains_of(series).iloc[0]
    assert found["parting"] == pytest.approx(0.07 * 5)
    assert found["parting_error"] == pytest.approx(np.sqrt(2) * np.hypot(0.01, 0.02))


@pytest.mark.parametrize(
    ("later", "error", "expected"), [(0.5, 0.02, NO), (-0.5, 0.02, YES), (0.02, 0.02, OPEN)]
)
def test_amplification_after_the_window(later, error, expected):
    assert dynamics.after(gains(later=later, later_error=error)).verdict is expected


@pytest.mark.parametrize(
    ("end", "error", "expected"),
    [
        (1.5, 0.02, NO),
        (0.0, 0.02, YES),
        (-0.5, 0.02, YES),  # it becomes smaller
        (0.05, 0.005, YES),  # larger than 1, but not to speak of
        (0.1, 0.2, OPEN),
        (0.12, 0.02, OPEN),
    ],
)
def test_amplification_without_an_outlier(end, error, expected):
    without = gains(ever=False, t_bbp=np.nan, end=end, end_error=error)
    assert dynamics.needs_outlier(without).verdict is expected


@pytest.mark.parametrize(
    ("outlier", "error", "expected"),
    [
        (2.1, 0.02, NO),
        (0.1, 0.02, NO),
        (1.0, 0.01, YES),
        (1.05, 0.01, YES),
        (1.12, 0.01, OPEN),
        (1.05, 0.2, OPEN),
    ],
)
def test_growth_along_the_outlier(outlier, error, expected):
    assert dynamics.from_outlier(gains(outlier=outlier, outlier_error=error)).verdict is expected


@pytest.mark.parametrize(
    ("median", "error", "expected"), [(1.8, 0.02, YES), (2.5, 0.05, NO), (1.8, 0.3, OPEN)]
)
def test_medians_near_the_limit(median, error, expected):
    table = pd.DataFrame(
        {"a": [1.0], "alpha": 3.0, "N": 2048, "runs": 100, "median": median, "error": error, "limit": 1.75}
    ).assign(limit_error=0.03, design_effect=1.5)
    assert dynamics.approached(table).verdict is expected


def planted_window(loss_times, name):
    """Tables of a sweep in which no run recovers, and outliers are lost at these times (instance, start)."""
    dims, where = ("N", "alpha", "start_group"), {"N": [512], "alpha": [3.0]}
    times = np.linspace(0, 4, 81)
    share = (loss_times[..., None] > times).astype(float)
    mean, error, _ = clustered_mean(share, np.ones(loss_times.shape, bool))
    quartiles = np.quantile(loss_times, [0.25, 0.5, 0.75])
    cell = dict(zip(("t_bbp_lower", "t_bbp_median", "t_bbp_upper"), quartiles, strict=True))
    cell |= {"runs": loss_times.size}
    window = {name: ((*dims, "fate"), np.full((1, 1, 1, 1), value)) for name, value in cell.items()}
    records = {"outlier_share": mean, "outlier_share_error": error}
    course = {
        name: ((*dims, "time", "fate"), row[None, None, None, :, None]) for name, row in records.items()
    }
    fate, loss = {"fate": ["not recovered"]}, {"loss": {"kind": "normalised_quartic", "a": 1.0}}
    outcome = np.full((1, 1, 1, *loss_times.shape), Outcome.TRAPPED, np.uint8)
    return {
        name: {
            "window": xr.Dataset(window, where | fate),
            "course": xr.Dataset(course, where | fate | {"time": times}),
            "counts": xr.Dataset(attrs={"specification": loss}),
            "recovery": xr.Dataset({"outcome": ((*dims, "instance", "start"), outcome)}, where),
        }
    }


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_error_of_a_median_accounts_for_the_correlation_of_starts(share):
    """``share`` of the variance of t_BBP is that between instances of 8 starts."""
    rng = np.random.default_rng(2)

    def loss_times():
        common = rng.normal(size=(400, 1))
        return 2 + 0.3 * (np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(size=(400, 8)))

    at = gains(t_bbp=2.0)
    scatter = np.std([np.median(loss_times()) for _ in range(200)])
    sweeps = planted_window(loss_times(), "window-a1")
    found = medians.measured_medians(sweeps, at).iloc[0]
    assert found["error"] == pytest.approx(scatter, rel=0.25)
    assert found["design_effect"] == pytest.approx(1 + 7 * 2 / np.pi * np.arcsin(share), rel=0.25)
    # a sweep without records takes the correlation of others; without others every instance counts once
    other = planted_window(loss_times(), "scaling-a1")
    del other["scaling-a1"]["course"]
    assert medians.measured_medians(other, at)["design_effect"].tolist() == [8]
    both = medians.correlation_of_starts([sweeps["window-a1"], other["scaling-a1"]])
    assert both == medians.correlation_of_starts([sweeps["window-a1"]])


def test_the_stored_dynamics_follow_from_the_code(monkeypatch):
    """One cell with few samples agrees with the stored table within the errors of both."""
    monkeypatch.setattr(dynamics, "ALPHAS", {1.0: (1.5,)})
    monkeypatch.setattr(dynamics, "LAST", 1.0)
    monkeypatch.setattr(dynamics, "SAMPLES", 2**11)
    now = dynamics.gains_of(dynamics.compute()).iloc[0]
    stored = dynamics.gains_of(pd.read_csv(dynamics.TABLE))
    kept = stored[(stored["a"] == 1) & (stored["alpha"] == 1.5)].iloc[0]
    for name in ("t_bbp", "window"):
        assert abs(now[name] - kept[name]) < 4 * np.hypot(now[f"{name}_error"], kept[f"{name}_error"])
    assert set(stored["a"]) == {1.0, 0.01}


def predicted_cells(late=0.0, small=0.0, runs=20_000, seed=3):
    """Cells with known P, measured by many runs; P measured is lower by ``late`` beyond t = 40.

    ``small`` adds to that at small N.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for a in (1.0, 0.01):
        for N in (64, 256, 1024):
            for alpha in (3.0, 3.25, 3.5):
                for budget in (10.0, 31.6, 56.2, 100.0):
                    p = 0.3 + 0.1 * alpha - 0.02 * np.log2(N)
                    lower = late + small * (10 - np.log2(N)) if budget > 40 else 0.0
                    measured = rng.binomial(runs, p - lower) / runs
                    variance = measured * (1 - measured) / runs
                    rows.append((a, alpha, N, budget, p, 0.001, measured, variance))
    names = ["a", "alpha", "N", "budget", "p", "error", "measured", "measured_variance"]
    return pd.DataFrame(rows, columns=names)


@pytest.mark.parametrize(
    ("late", "runs", "expected"),
    [(0.0, 20_000, YES), (0.1, 20_000, NO), (0.0285, 20_000, OPEN), (0.0, 500, YES), (0.0, 100, OPEN)],
)
def test_an_accurate_prediction(late, runs, expected):
    """The noise of few runs counts neither against the prediction nor for it."""
    assert predicted.accurate(predicted_cells(late, runs=runs), "at all budgets", 0.02).verdict is expected


@pytest.mark.parametrize(("late", "expected"), [(0.1, NO), (0.0285, OPEN)])
def test_cells_in_which_nothing_is_tested_do_not_make_a_prediction_accurate(late, expected):
    cells = predicted_cells(late)
    trivial = cells.assign(N=cells["N"] * 1000, p=1e-4, measured=0.0, measured_variance=0.0)
    part = predicted.accurate(pd.concat([cells, *[trivial] * 20], ignore_index=True), "everywhere", 0.02)
    assert part.verdict is expected
    assert "over 72 of 1512 cells" in part.found


def test_what_is_left_without_the_noise_of_the_runs_is_the_planted_difference():
    part = predicted.accurate(predicted_cells(0.05, runs=1_000, seed=5), "everywhere", 0.02)
    beyond, noisy = (float(found) for found in re.findall(r"(0\.\d{4}) \[", part.found))
    assert beyond == pytest.approx(0.05 / np.sqrt(2), abs=0.003)
    assert noisy == pytest.approx(np.hypot(beyond, 0.0155), abs=0.001)


@pytest.mark.parametrize(("late", "expected"), [(0.05, YES), (-0.05, NO), (0.0, OPEN)])
def test_a_prediction_that_is_too_high_late(late, expected):
    cells = predicted_cells(late, runs=1_000)
    assert predicted.too_high(cells[cells["budget"] > 40]).verdict is expected


@pytest.mark.parametrize(("small", "expected"), [(0.02, YES), (-0.02, NO), (0.0, OPEN)])
def test_a_difference_that_falls_with_the_size(small, expected):
    cells = predicted_cells(0.05, small)
    assert predicted.vanishes(cells[cells["budget"] > 40]).verdict is expected


@pytest.mark.parametrize(("per_doubling", "expected"), [(-0.01, YES), (0.0, OPEN), (0.01, NO)])
def test_larger_alphas_at_larger_sizes_do_not_pass_for_a_dependence_on_the_size(per_doubling, expected):
    """The difference rises with alpha, and larger N have larger alphas."""
    rng = np.random.default_rng(1)
    rows = [
        {"a": a, "N": 64 * 2**step, "alpha": alpha, "p": 0.5, "per": 0.2 * alpha + per_doubling * step}
        for a in (1.0, 0.01)
        for step in range(6)
        for alpha in 2.5 + 0.25 * np.arange(step, step + 4)
    ]
    cells = pd.DataFrame(rows)
    cells["measured"] = cells["p"] - cells["per"] + rng.normal(scale=0.005, size=len(cells))
    assert predicted.vanishes(cells).verdict is expected
    at_one_alpha = cells[cells["N"] == 64]
    assert predicted.vanishes(at_one_alpha).verdict is OPEN


def test_cells_are_compared_where_both_are_known():
    """Runs drawn from the prediction agree with it; other alphas are interpolated, never extrapolated."""
    alphas, budgets = np.array([3.0, 3.1, 3.25, 4.0]), [10.0, 100.0]
    half = pd.DataFrame(
        [
            {"a": 1.0, "alpha": alpha, "budget": budget, "half_size": 10 * alpha * budget}
            for alpha in (3.0, 3.25, 3.5)
            for budget in budgets
        ]
    ).assign(log_spread=0.02, seeds=2)
    p = 2 * norm.cdf(norm.ppf(0.25) * np.sqrt(64 / (10 * alphas[:, None] * budgets)))
    dims = ("N", "alpha", "start_group", "budget")
    success = xr.Dataset(
        {
            name: (dims, p[None, :, None, :] + shift)
            for name, shift in (("p", 0), ("lower", -0.02), ("upper", 0.02))
        },
        {"N": [64], "alpha": alphas, "budget": budgets},
    )
    success["n"] = success["p"].astype(int) + 100
    success["design_effect"] = 2 * xr.ones_like(success["p"])
    counts = xr.Dataset(attrs={"specification": {"loss": {"kind": "normalised_quartic", "a": 1.0}}})
    cells = predictions.cells_of({"scaling-a1": {"success": success, "counts": counts}}, half)
    assert set(cells["alpha"]) == {3.0, 3.1, 3.25}
    np.testing.assert_allclose(cells["p"], cells["measured"], atol=1e-3)
    np.testing.assert_allclose(cells["measured_error"], 0.0102, rtol=0.01)
    variance = cells["measured"] * (1 - cells["measured"]) * 2 / 100
    np.testing.assert_allclose(cells["measured_variance"], variance)
    assert (cells["error"] > 0).all()


def test_the_stored_predictions_follow_from_the_code(monkeypatch):
    """Half sizes of one alpha, with few samples, and the probabilities that follow from all of them."""
    monkeypatch.setattr(predictions, "HORIZON", 3.2)
    monkeypatch.setattr(predictions, "SAMPLES", {1.0: 2**11})
    stored = pd.read_csv(predictions.REFERENCE / predictions.HALF_SIZES)
    now = predictions.compute({1.0: (4.0,)}).set_index("budget")
    kept = stored[(stored["a"] == 1) & (stored["alpha"] == 4)].set_index("budget")
    assert len(now)
    for budget, row in now.iterrows():
        other = kept.iloc[np.abs(kept.index.to_numpy() - budget).argmin()]
        assert abs(np.log(row["half_size"] / other["half_size"])) < 0.15
    cells = pd.read_csv(predictions.REFERENCE / predictions.SUCCESS)
    joined = cells.merge(stored[["a", "alpha", "budget", "half_size"]], on=["a", "alpha", "budget"])
    assert len(joined) > 50
    expected = 2 * norm.cdf(norm.ppf(0.25) * np.sqrt(joined["N"] / joined["half_size"]))
    np.testing.assert_allclose(joined["p"], expected, atol=2e-3)
    midpoints = pd.read_csv(predictions.REFERENCE / predictions.ALPHA_50)
    for _, at in midpoints.groupby(["a", "budget"]):
        assert (np.diff(at["alpha_50"]) > 0).all()
