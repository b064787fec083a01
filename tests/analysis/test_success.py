from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phasepipe.analysis.success import counts_at_budget, success_table
from phasepipe.physics.outcomes import Outcome

DIMS = ("N", "alpha", "instance", "start")


@pytest.fixture
def runs():
    rng = np.random.default_rng(0)
    shape = (2, 3, 10, 4)
    coords = {"N": [64, 128], "alpha": [2.0, 3.0, 4.0]}
    outcome = rng.choice([1, 2, 3], size=shape).astype(np.uint8)
    outcome[0, 0, 0] = Outcome.PENDING
    outcome[1, 2, 3, :2] = Outcome.DIVERGED
    outcome[1, 1] = Outcome.PENDING
    times = np.where(outcome == Outcome.RECOVERED, 10 ** rng.uniform(-1, 2, size=shape), np.nan)
    return xr.DataArray(outcome, dims=DIMS, coords=coords), xr.DataArray(times, dims=DIMS, coords=coords)


def test_counts_by_hand(runs):
    outcome, times = runs
    table = success_table(outcome, times, 100.0, budgets=[10.0, 100.0])
    cell = table.sel(N=128, alpha=4.0, budget=10.0)
    codes, passage = outcome.sel(N=128, alpha=4.0).values, times.sel(N=128, alpha=4.0).values
    assert cell["n"] == (codes != 4).sum() == 38
    assert cell["k"] == (passage <= 10).sum()
    assert cell["p"] == pytest.approx((passage <= 10).sum() / 38)
    assert cell["diverged"] == 2
    assert cell["trapped_share"] == pytest.approx((codes == 2).sum() / 38)
    assert cell["undecided_share"] == pytest.approx(((codes == 3) | (passage > 10)).sum() / 38)
    assert cell["last_decade_change"] == pytest.approx(((passage <= 10) & (passage > 1)).sum() / 38)
    assert table["pending"].sel(N=64, alpha=2.0) == 4
    assert table["instances"].sel(N=64, alpha=2.0, budget=10.0) == 9


def test_cell_that_was_not_computed_is_nan_and_counted(runs):
    cell = success_table(*runs, 100.0).sel(N=128, alpha=3.0).isel(budget=-1)
    assert cell["n"] == 0
    assert cell["pending"] == 40
    assert np.isnan([cell["p"], cell["lower"], cell["undecided_share"]]).all()


def test_success_grows_with_the_budget_and_shares_add_up(runs):
    table = success_table(*runs, 100.0)
    assert (table["k"].diff("budget") >= 0).all()
    total = (table["p"] + table["trapped_share"] + table["undecided_share"]).dropna("alpha", how="any")
    np.testing.assert_allclose(total, 1)
    inside = (table["lower"] <= table["p"]) & (table["p"] <= table["upper"])
    assert (inside | (table["n"] == 0)).all()


def test_trapped_run_is_undecided_before_it_was_certified(runs):
    outcome, times = runs
    stop = xr.where(outcome == Outcome.TRAPPED, 50.0, times)
    table = success_table(outcome, times, 100.0, budgets=[20.0, 100.0], stop_time=stop)
    assert (table["trapped_share"].isel(budget=0).fillna(0) == 0).all()
    assert (table["trapped_share"].isel(budget=1).fillna(1) > 0).all()


def test_one_size_keeps_other_dims(runs):
    outcome, times = (array.isel(N=0).expand_dims(kind=["random", "warm"]) for array in runs)
    table = success_table(outcome, times, 100.0, budgets=[100.0])
    assert table["p"].dims == ("kind", "alpha", "budget")


def test_every_variable_is_labelled(runs):
    table = success_table(*runs, 100.0)
    for variable in table.data_vars.values():
        assert {"long_name", "units"} <= set(variable.attrs)
    assert table["p"].dims == ("N", "alpha", "budget")


def test_tidy_counts_at_a_budget(runs):
    outcome, times = runs
    counts = counts_at_budget(outcome, times, 10.0)
    table = success_table(outcome, times, 100.0, budgets=[10.0]).isel(budget=0)
    for (N, alpha), cell in counts.groupby(["N", "alpha"]):
        assert cell["recovered"].sum() == table["k"].sel(N=N, alpha=alpha)
        assert cell["runs"].sum() == table["n"].sel(N=N, alpha=alpha)
    assert (128, 3.0) not in set(zip(counts["N"], counts["alpha"], strict=True))


def test_errors_name_what_is_wrong(runs):
    outcome, times = runs
    with pytest.raises(ValueError, match=r"budget = 200 lies outside \(0, t_max = 100\]"):
        success_table(outcome, times, 100.0, budgets=[200.0])
    with pytest.raises(ValueError, match="lacks 'start'"):
        success_table(outcome.isel(start=0), times.isel(start=0), 100.0)
    with pytest.raises(ValueError, match="recovered without a recovery time"):
        success_table(outcome, times * np.nan, 100.0)
    with pytest.raises(ValueError, match="outcome code 7"):
        success_table(outcome.where(outcome != 2, 7), times, 100.0)
    with pytest.raises(ValueError, match="they must agree"):
        success_table(outcome, times.isel(alpha=[0]), 100.0)
