from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phasepipe.analysis.curves import fit_curves
from phasepipe.analysis.planted import POPULATIONS, PlantedScaling
from phasepipe.analysis.recovery_times import RecoveryTimes, kept_runs, recovery_table
from phasepipe.analysis.sizes import join_groups, join_sizes
from phasepipe.analysis.success import counts_at_budget
from phasepipe.analysis.time_coverage import PlantedTimes
from phasepipe.analysis.time_limit import alpha_50_over_time, if_all_recover, time_limit_dataset
from phasepipe.physics.outcomes import Outcome

N, HORIZON = 256, 100.0
TRUTH = PlantedScaling(
    alpha_inf=2.4, amplitude=0.0, inverse_nu=0.0, width=0.45, population=POPULATIONS["skewed"]
)
ALPHAS = np.array([1.9, 2.15, 2.4, 2.65, 2.9])


def planted(rng, *, gamma=0.7, law="lomax", alphas=ALPHAS, instances=64, starts=16, trapped=0.0):
    """Runs that recover in the end after a time of density ~ t^(-gamma - 1); slow and fast instances."""
    times = PlantedTimes(TRUTH, law, gamma, certified=trapped)
    drawn = times.draw(N, alphas, instances, starts, HORIZON, rng)
    return [drawn[name] for name in ("outcome", "recovery_time", "end_time")]


def test_within_the_budget_of_all_runs_alpha_50_is_that_of_the_counts():
    outcome, recovery_time, end_time = planted(np.random.default_rng(0))
    runs = RecoveryTimes.of(outcome, recovery_time, end_time)
    assert runs.horizon == HORIZON
    assert runs.weights()[runs.recovered] == pytest.approx(1)
    table = alpha_50_over_time(runs, [10.0, 100.0])
    for budget in (10.0, 100.0):
        fit = fit_curves(counts_at_budget(outcome, recovery_time, budget))[0]
        assert table["alpha_50"].sel(budget=budget) == pytest.approx(fit.alpha_50, rel=1e-9)
        assert table["width_upper"].sel(budget=budget) == pytest.approx(fit.width_upper, rel=1e-9)


def test_recoveries_stand_for_those_no_longer_watched():
    """Ten runs: 2 recover at t = 1, 4 are left at t = 2, 1 recovers at t = 3, 3 are left at t = 4."""
    kind = np.array([1, 1, 3, 3, 3, 3, 1, 3, 3, 3]).reshape(1, 10, 1)
    end = np.array([1, 1, 2, 2, 2, 2, 3, 4, 4, 4.0]).reshape(1, 10, 1)
    coords = {"N": N, "alpha": [2.0]}
    dims = ("alpha", "instance", "start")
    arrays = [kind, np.where(kind == 1, end, np.nan), end]
    runs = RecoveryTimes.of(*[xr.DataArray(values, dims=dims, coords=coords) for values in arrays])
    weight = runs.weights().ravel()
    assert weight[:2] == pytest.approx(1)
    assert weight[6] == pytest.approx(2)  # one of the four that remain, of eight that were alive
    assert weight[[2, 3, 4, 5, 7, 8, 9]] == pytest.approx(0)


def test_trapped_runs_never_recover_and_are_watched_for_ever():
    kind = np.array([1, 2, 2, 2, 1]).reshape(1, 5, 1)
    end = np.array([1.0, 0.5, 0.5, 0.5, 3.0]).reshape(1, 5, 1)
    coords = {"N": N, "alpha": [2.0]}
    dims = ("alpha", "instance", "start")
    arrays = [kind, np.where(kind == 1, end, np.nan), end]
    runs = RecoveryTimes.of(*[xr.DataArray(values, dims=dims, coords=coords) for values in arrays])
    assert runs.weights().ravel() == pytest.approx([1, 0, 0, 0, 1])
    assert runs.undecided_share(10.0) == pytest.approx(0)
    assert runs.undecided_share(2.0) == pytest.approx(0.2)


def test_the_kept_table_gives_back_the_runs_and_counts_exactly_at_any_budget():
    rng = np.random.default_rng(7)
    names = ("outcome", "recovery_time", "end_time")
    runs = {}
    for size, instances in ((N, 12), (2 * N, 5)):
        arrays = planted(rng, instances=instances, starts=3, alphas=ALPHAS[:2] + size / 1e4)
        at = xr.Dataset(dict(zip(names, arrays, strict=True))).assign_coords(
            N=size, instance=np.arange(instances)
        )
        # recoveries next to a budget, on both sides of it
        at["recovery_time"][0, 0] = 10 * np.array([1 - 1e-9, 1, 1 + 1e-9])
        at["outcome"][0, 0] = Outcome.RECOVERED
        runs[size] = at
    few = {size: at.isel(start=[0]) for size, at in runs.items()}  # another kind of start
    table = join_sizes(
        {size: join_groups([recovery_table(runs[size]), recovery_table(few[size])]) for size in runs}
    )
    assert table["outcome"].dtype == np.uint8
    assert table["recovery_time"].dtype == np.float32
    for group, expected in enumerate((runs, few)):
        for size, at in expected.items():
            kept = kept_runs(table, size, group)
            np.testing.assert_array_equal(kept["outcome"], at["outcome"])
            np.testing.assert_allclose(kept["end_time"], at["end_time"], rtol=1e-6)
            for budget in (0.5, 10.0, HORIZON):
                counts = [counts_at_budget(x["outcome"], x["recovery_time"], budget) for x in (kept, at)]
                assert counts[0]["recovered"].tolist() == counts[1]["recovered"].tolist()


def test_staggered_ends_give_the_same_curve_as_full_follow_up():
    rng = np.random.default_rng(1)
    outcome, recovery_time, end_time = planted(rng, instances=256)
    ends = xr.DataArray(10 ** rng.uniform(1, 2, outcome.shape), dims=outcome.dims, coords=outcome.coords)
    left = (outcome != Outcome.RECOVERED) | (recovery_time > ends)
    staggered = RecoveryTimes.of(
        outcome.where(~left, Outcome.UNDECIDED),
        recovery_time.where(~left),
        xr.where(left, ends, recovery_time),
    )
    full = alpha_50_over_time(RecoveryTimes.of(outcome, recovery_time, end_time), [90.0]).isel(budget=0)
    part = alpha_50_over_time(staggered, [90.0]).isel(budget=0)
    assert part["alpha_50"] == pytest.approx(float(full["alpha_50"]), abs=2 * float(full["alpha_50_error"]))
    naive = float(((staggered.time <= 90) & staggered.recovered).mean())
    weighted = float((staggered.weights() * (staggered.time <= 90)).mean())
    truth = float((recovery_time <= 90).mean())
    assert weighted == pytest.approx(truth, abs=0.01)
    assert naive < truth - 0.015


def test_limit_lies_below_the_last_budget_and_covers_in_a_few_studies():
    rng = np.random.default_rng(2)
    limits, finite, gammas = [], [], []
    for _ in range(10):
        table = alpha_50_over_time(RecoveryTimes.of(*planted(rng)), [HORIZON])
        limits.append(table.isel(budget=-1))
        finite.append(float(table["alpha_50"][0]))
        gammas.append(float(table["gamma_lower"]) <= 0.7 <= float(table["gamma_upper"]))
    covered = [row["alpha_50_lower"] <= 2.4 <= row["alpha_50_upper"] for row in limits]
    assert np.mean(covered) >= 0.8
    assert np.mean(gammas) >= 0.7
    assert np.mean(finite) - 2.4 > 0.03  # what a single budget would have said
    assert np.mean([row["alpha_50"] for row in limits]) == pytest.approx(2.4, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "gamma"),
    [("lomax", 0.4), ("lomax", 0.7), ("lomax", 1.5), ("log-logistic", 0.7), ("log-normal", 0.7)],
)
def test_limit_covers(law, gamma):
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(60):
        row = alpha_50_over_time(RecoveryTimes.of(*planted(rng, gamma=gamma, law=law)), [HORIZON]).isel(
            budget=-1
        )
        rows.append([float(row[name]) for name in ("alpha_50_lower", "alpha_50", "alpha_50_upper")])
    lower, middle, upper = np.array(rows).T
    below, above = np.mean(upper < 2.4), np.mean(lower > 2.4)
    bias = np.mean(middle) - 2.4
    print(
        f"{law}, gamma {gamma}: {1 - below - above:.2f} below {below:.2f} above {above:.2f} bias {bias:.3f}"
    )
    assert below + above <= 0.13


def test_all_decided_needs_no_tail():
    outcome, recovery_time, end_time = planted(np.random.default_rng(4), gamma=3.0, trapped=1.0)
    left = (outcome == Outcome.UNDECIDED).values
    outcome = outcome.where(~left, Outcome.TRAPPED)
    table = alpha_50_over_time(RecoveryTimes.of(outcome, recovery_time, end_time), [HORIZON])
    assert table["alpha_50"][0] == table["alpha_50"][1]
    assert np.isnan(table["gamma"])


def steep():
    """Late recoveries that stop long before the horizon, and some runs that are undecided all the same."""
    outcome, recovery_time, end_time = planted(np.random.default_rng(11), gamma=30.0, trapped=0.9)
    fast = (outcome == Outcome.RECOVERED) & (recovery_time > 0)
    slow = fast & (np.arange(outcome.sizes["start"]) % 4 == 0)
    late = recovery_time.where(~slow, 3 + 4 * (recovery_time / recovery_time.max()))
    return RecoveryTimes.of(outcome, late, end_time)


def test_an_exponent_at_the_end_of_its_range_has_no_upper_bound_and_says_so():
    table = alpha_50_over_time(steep(), [HORIZON])
    assert table["gamma_upper"] == np.inf
    assert 0.5 < table["gamma_lower"] <= table["gamma"] <= 6
    assert "not bounded above" in str(table["message"].values[-1])
    rng = np.random.default_rng(2)
    bounded = alpha_50_over_time(RecoveryTimes.of(*planted(rng)), [HORIZON])
    assert np.isfinite(bounded["gamma_upper"])
    assert not str(bounded["message"].values[-1])


def test_a_tail_without_unseen_recoveries_leaves_the_interval_at_the_horizon_as_it_is():
    last, limit = (alpha_50_over_time(steep(), [HORIZON]).isel(budget=index) for index in (0, 1))
    for name in ("alpha_50_lower", "alpha_50", "alpha_50_upper", "width_upper"):
        assert float(limit[name]) == pytest.approx(float(last[name]), abs=2e-3)


def test_no_tail_exceeds_what_all_undecided_runs_could_do():
    runs = RecoveryTimes.of(*planted(np.random.default_rng(2), trapped=0.7))
    every, table = if_all_recover(runs), alpha_50_over_time(runs, [HORIZON])
    last, limit = table["alpha_50"].values
    assert every.alpha_50 < limit - 0.03 < last - 0.05


def test_without_late_recoveries_there_is_no_limit_and_the_reason_is_given():
    outcome, recovery_time, end_time = planted(np.random.default_rng(5))
    late = (recovery_time > 3).values
    early = RecoveryTimes.of(
        outcome.where(~late, Outcome.UNDECIDED), recovery_time.where(~late), end_time.where(~late, HORIZON)
    )
    table = alpha_50_over_time(early, [3.0])
    limit = table.isel(budget=-1)
    assert np.isnan(limit["alpha_50"])
    assert limit["alpha_50_lower"] == -np.inf
    assert limit["alpha_50_upper"] == table["alpha_50_upper"][0]  # later recoveries can only lower it
    assert "no tail to fit" in str(limit["message"].values)


def test_a_few_undecided_runs_without_a_tail_widen_the_interval_by_what_they_could_do():
    outcome, recovery_time, end_time = planted(np.random.default_rng(10), gamma=30.0, trapped=1.0)
    undecided = (outcome == Outcome.UNDECIDED).values
    outcome = outcome.where(~undecided, Outcome.TRAPPED)
    outcome[2, :20, 0] = Outcome.UNDECIDED
    recovery_time[2, :20, 0], end_time[2, :20, 0] = np.nan, HORIZON
    limit = alpha_50_over_time(RecoveryTimes.of(outcome, recovery_time, end_time), []).isel(budget=0)
    extremes = []
    for kind in (Outcome.RECOVERED, Outcome.TRAPPED):
        decided = outcome.where(outcome != Outcome.UNDECIDED, kind)
        runs = RecoveryTimes.of(decided, recovery_time.fillna(1.0), end_time)
        extremes.append(alpha_50_over_time(runs, []).isel(budget=0))
    assert "no tail to fit" in str(limit["message"].values)
    assert extremes[0]["alpha_50"] < limit["alpha_50"] < extremes[1]["alpha_50"]
    for end, extreme in zip(("lower", "upper"), extremes, strict=True):
        assert float(limit[f"alpha_50_{end}"]) == pytest.approx(float(extreme[f"alpha_50_{end}"]), rel=1e-9)


def test_budgets_beyond_the_runs_are_refused():
    runs = RecoveryTimes.of(*planted(np.random.default_rng(6), instances=4))
    with pytest.raises(ValueError, match="budget = 200 lies outside"):
        alpha_50_over_time(runs, [200.0])


def test_a_size_that_allows_no_estimate_says_why_beside_one_that_does():
    rng = np.random.default_rng(8)
    full = RecoveryTimes.of(*planted(rng))
    outcome, *times = planted(rng, alphas=ALPHAS[:1])
    single = RecoveryTimes.of(*(array.assign_coords(N=512) for array in (outcome, *times)))
    none = RecoveryTimes.of(xr.full_like(outcome, Outcome.PENDING).assign_coords(N=1024), *times)
    table = time_limit_dataset([full, single, none], [10.0, HORIZON])
    assert table["budget"].values.tolist() == [10.0, HORIZON, np.inf]
    alone = alpha_50_over_time(full, [10.0, HORIZON])
    np.testing.assert_array_equal(table["budget_alpha_50"].sel(N=N), alone["alpha_50"])
    for size, reason in ((512, "alpha"), (1024, "no valid runs")):
        assert table["budget_alpha_50"].sel(N=size).isnull().all()
        assert reason in str(table["budget_note"].sel(N=size, budget=np.inf).item())


def test_a_budget_beyond_the_runs_of_a_size_counts_as_its_longest():
    runs = RecoveryTimes.of(*planted(np.random.default_rng(9)))
    table = time_limit_dataset([runs], [10.0, HORIZON * (1 + 1e-12)])
    expected = alpha_50_over_time(runs, [10.0, HORIZON])
    np.testing.assert_array_equal(table["budget_alpha_50"].isel(N=0), expected["alpha_50"])
