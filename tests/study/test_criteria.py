"""Every criterion of the study can succeed, fail and stay open: planted data with known answers."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm, ttest_ind

from phasepipe.analysis.summaries import clustered_mean
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.start_kinds import StartKind
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_store
from study import predictions
from study.claims import (
    control,
    decision,
    dynamics,
    initial,
    initialisation,
    medians,
    predicted,
    regularisers,
    trap,
    universality,
    window,
)
from study.claims.finding import Verdict
from study.claims.outliers import share_design_effect
from study.claims.recovery import Success, group_curves, midpoint
from study.claims.testing import (
    holm,
    paired_correlation,
    paired_share,
    share_above,
    share_interval,
    signs,
    two_sided,
    undetected,
    welch_freedom,
    within,
)
from tests.study.planted import planted_counts

YES, NO, OPEN = Verdict.CONFIRMED, Verdict.NOT_CONFIRMED, Verdict.UNDECIDED
THEORY = xr.Dataset({"alpha_init": 1.0, "alpha_threshold": 7.0})


def test_the_interval_of_a_share_is_that_of_clopper_and_pearson():
    assert share_interval(10, 10) == pytest.approx((0.6915, 1.0), abs=1e-4)
    assert share_interval(45, 50) == pytest.approx((0.7819, 0.9667), abs=1e-4)
    assert share_interval(0, 20) == pytest.approx((0.0, 0.1684), abs=1e-4)


def test_holm_leaves_tests_that_cannot_be_made_and_corrects_the_others():
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04, 0.02]), [0.03, np.nan, 0.04, 0.04])
    assert signs([1, 1], [0.01, 0.04]) is True
    assert signs([1, -1], [0.01, 0.04]) is False
    assert signs([1, -1], [0.01, 0.2]) is None
    assert signs([], []) is None
    assert np.isnan(two_sided([1.0], [0.0])).all()


def test_one_of_many_tests_is_not_significant_by_chance():
    rng = np.random.default_rng(5)
    studies = [signs(effect, holm(two_sided(effect, np.ones(20)))) for effect in rng.normal(size=(40, 20))]
    assert np.mean([found is False for found in studies]) < 0.12


@pytest.mark.parametrize(
    ("count", "runs", "effect", "expected"),
    [
        ([300, 300], [300, 300], 1, True),
        ([10], [10], 1, None),  # too few
        ([300, 300], [300, 300], 20, None),  # too few independent ones
        ([80], [100], 1, False),
        ([40, 1000], [50, 1000], 1, False),  # one cell fails although the pool does not
    ],
)
def test_a_share_is_held_against_a_bound(count, runs, effect, expected):
    assert share_above(count, runs, np.full(len(runs), effect), 0.95).holds is expected


def ends(**columns):
    table = {"alpha": 3.0, "N": 512, "runs": 200, "design_effect": 1.2, "never": 0.0, "lasting": 0.0}
    table |= {"median": 1.8, "spectra": 8, "lowest": 0.0, "lowest_error": 0.01, "spacing": 0.03}
    return pd.DataFrame([table | {"certified": 0.1} | columns])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [({}, YES), ({"lasting": 0.2}, NO), ({"runs": 10}, OPEN), ({"alpha": 8.0}, OPEN)],
)
def test_losing_the_outlier(columns, expected):
    assert window.lost("a", ends(**columns), THEORY).verdict is expected


def test_the_number_of_runs_is_said():
    found = window.lost("a", ends(runs=10, lasting=0.1), THEORY).found
    assert "9 of 10 runs (90.0%" in found


@pytest.mark.parametrize(("never", "expected"), [(0.0, YES), (0.3, NO), (0.04, OPEN)])
def test_having_an_outlier(never, expected):
    assert window.had("a", ends(never=never), THEORY).verdict is expected


@pytest.mark.parametrize("alpha", [0.9, 1.05, 6.5])
def test_a_cell_next_to_a_transition_does_not_decide_about_the_window(alpha):
    near = pd.concat([ends(), ends(alpha=alpha, never=0.3, lasting=0.3)])
    assert window.had("a", near, THEORY).verdict is YES
    assert window.lost("a", near, THEORY).verdict is YES


def test_starts_of_one_instance_count_less():
    """Instances whose eight starts all have an outlier or none: each instance is one run."""
    rng = np.random.default_rng(3)
    share = np.repeat(rng.random((40, 1, 3)) < [0.95, 0.5, 0.02], 8, axis=1)
    alone = rng.random((40, 8, 3)) < [0.95, 0.5, 0.02]
    for runs, low, high in ((share, 6.5, 9.5), (alone, 1.0, 1.7)):
        of_instance = runs.mean(1)
        error = of_instance.std(0, ddof=1) / np.sqrt(40)
        dims = ("N", "alpha", "time")
        course = xr.Dataset(
            {
                "outlier_share": (dims, of_instance.mean(0)[None, None]),
                "outlier_share_error": (dims, error[None, None]),
                "runs": (("N", "alpha"), [[320]]),
            }
        )
        assert low <= share_design_effect(course) <= high
        assert np.isnan(share_design_effect(course.isel(time=[2])))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, YES),
        ({"lowest": 0.3}, NO),  # a minimum with a gap
        ({"lowest": -0.5}, NO),  # a saddle
        ({"lowest_error": 0.05}, OPEN),
        ({"spectra": 1}, OPEN),
    ],
)
def test_marginal_states(columns, expected):
    assert window.marginal("a", ends(**columns), THEORY).verdict is expected


def test_end_states_below_alpha_init_do_not_count():
    assert window.marginal("a", pd.concat([ends(), ends(alpha=0.9, lowest=0.3)]), THEORY).verdict is YES
    assert window.marginal("a", ends(alpha=0.9), THEORY).verdict is OPEN


def test_sweeps_without_spectra_count_for_the_window():
    """Runs at larger N decide, although their points were not diagonalised."""
    dims, coords = (
        ("N", "alpha", "start_group", "fate"),
        {"N": [4096], "alpha": [3.0], "fate": ["not recovered"]},
    )
    lost = {
        "t_bbp_lower": 0.3,
        "t_bbp_median": 0.4,
        "t_bbp_upper": 0.5,
        "never": 0.0,
        "lasting": 0.0,
        "runs": 300,
    }
    cells = xr.Dataset({name: (dims, np.full((1, 1, 1, 1), value)) for name, value in lost.items()}, coords)
    counts = planted_counts({4096: 3.0}, runs=300).sel(alpha=[3.0])
    table = window.end_states({"window": cells, "counts": counts.assign(trapped=0 * counts["runs"])})
    assert table["spectra"].tolist() == [0]
    few = ends(runs=10)
    assert window.lost("a", few, THEORY).verdict is OPEN
    assert window.lost("a", pd.concat([few, table]), THEORY).verdict is YES
    assert "from 8 spectra" in window.marginal("a", pd.concat([few, table]), THEORY).found


def states(small, large, error=0.03):
    rows = [
        {"alpha": alpha, "N": N, "outlier": share, "outlier_error": error * (0 < share < 1), "lowest": -0.1}
        for N, shares in ((128, small), (512, large))
        for alpha, share in zip((4.0, 5.0, 9.0), shares, strict=True)
    ]
    return pd.DataFrame(rows).assign(runs=128, design_effect=1.1, lowest_error=0.01)


@pytest.mark.parametrize(
    ("small", "large", "expected", "left_out"),
    [
        ((0.0, 0.5, 1), (0.0, 0.1, 1), YES, True),  # 0 % cannot fall
        ((0.2, 0.5, 1), (0.0, 0.1, 1), YES, False),
        ((0.2, 0.1, 1), (0.0, 0.5, 1), NO, False),
        ((0.2, 0.5, 1), (0.2, 0.1, 1), OPEN, False),
        ((0.0, 0.0, 1), (0.0, 0.0, 1), OPEN, True),
        ((0.01, 0.5, 1), (0.0, 0.1, 1), YES, True),  # 1 state of 128 cannot fall significantly
        ((0.04, 0.5, 1), (0.04, 0.1, 1), OPEN, False),  # but ten states stay in
    ],
)
def test_the_share_of_unstable_states_falls(small, large, expected, left_out):
    part = trap.stable("a", states(small, large), 7.0)
    assert part.verdict is expected
    assert ("left out" in part.found) is left_out


@pytest.mark.parametrize(("share", "expected"), [(1.0, YES), (0.7, NO), (0.95, OPEN)])
def test_states_above_the_threshold_are_unstable(share, expected):
    assert trap.unstable("a", states((0, 0, 1), (0, 0, share)), 7.0).verdict is expected


def overlaps_at_the_start(overlap, error):
    sizes = np.array([128, 256, 512, 1024])
    values = overlap(sizes.astype(float))[:, None]
    columns = {"lowest_overlap": values, "lowest_overlap_error": 0 * values + error}
    cells = {name: (("N", "alpha"), column) for name, column in columns.items()}
    return xr.Dataset(cells, {"N": sizes, "alpha": [0.5]})


@pytest.mark.parametrize(
    ("overlap", "error", "expected"),
    [
        (lambda N: 2 * N**-0.7, 2e-4, YES),
        (lambda N: 0.5 / np.log(N / 16), 2e-4, YES),
        (lambda N: 2 * N**-0.7, 0.004, OPEN),  # it falls, but the limit is not bounded
        (lambda N: 0.1 + 2 * N**-0.7, 2e-4, NO),  # it falls, to a limit that is not 0
        (lambda N: 0.1 + 2 * N**-0.7, 0.004, OPEN),
        (lambda N: 0.02 + 2e-4 * N, 0.004, NO),
        (lambda N: 0.05 + 0 * N, 0.004, OPEN),
    ],
)
def test_overlaps_below_alpha_init_fall_to_zero(overlap, error, expected):
    assert initial.below("a", overlaps_at_the_start(overlap, error), 1.0).verdict is expected


@pytest.mark.parametrize("sweep", initial.SWEEPS)
def test_eigenvectors_that_carry_information_are_not_said_to_carry_none(sweep):
    """Above alpha_init, where the theory gives q_0 > 0, no cell of the reference meets the criterion."""
    folder = SweepFolder(predictions.REFERENCE / sweep)
    start = open_store(folder.archive("curvature")).load().isel(time=0).sel(fate="all")
    theory = open_store(folder.archive("theory")).load()
    above = start["alpha"][start["alpha"] > theory["alpha_init"]].values
    assert len(above) >= 5
    for alpha in above:
        near = start.sel(alpha=np.abs(start["alpha"] - alpha) < 0.005)
        assert initial.below(sweep, near, 100.0).verdict is not YES


@pytest.mark.parametrize(
    ("ratio", "error", "expected"),
    [(1.01, 0.01, YES), (0.7, 0.03, NO), (1.0, 0.08, OPEN), (0.85, 0.06, OPEN)],
)
def test_overlaps_above_alpha_init_are_those_of_the_theory(ratio, error, expected):
    alphas = [1.5, 2.0, 3.0]
    theory = xr.Dataset({"initial_overlap": ("alpha", [0.2, 0.3, 0.5])}, {"alpha": alphas})
    values = theory["initial_overlap"].values[None] * [[1.5], [ratio]]  # only the largest N counts
    start = xr.Dataset(
        {
            "lowest_overlap": (("N", "alpha"), values),
            "lowest_overlap_error": (("N", "alpha"), error * theory["initial_overlap"].values + 0 * values),
        },
        {"N": [256, 1024], "alpha": alphas},
    )
    assert initial.above("a", start, theory, 1.0).verdict is expected
    assert initial.above("a", start, theory, 5.0).verdict is OPEN


def moments(early, late, half=0.02):
    growth = np.subtract(late, early)
    table = pd.DataFrame({"N": [64, 128], "early": early, "late": late, "growth": growth})
    for name in ("early", "late", "growth"):
        table = table.assign(**{f"{name}_low": table[name] - half, f"{name}_high": table[name] + half})
    table = table.assign(time_predictable=3.0, moment=1.0, lowest_fifth=0.1, highest_fifth=0.9)
    return table.assign(alpha=2.0, outlier=0.9)


@pytest.mark.parametrize(
    ("late", "half", "grows", "decided"),
    [
        ((0.90, 0.92), 0.02, YES, YES),
        ((0.78, 0.75), 0.02, YES, NO),
        ((0.60, 0.92), 0.02, NO, NO),
        ((0.75, 0.85), 0.3, OPEN, OPEN),
    ],
)
def test_growth_of_the_auc_and_its_height(late, half, grows, decided):
    table = moments((0.7, 0.7), late, half)
    assert decision.grows("a", table).verdict is grows
    assert decision.decided("a", table).verdict is decided


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ([-0.5, 0.2], [0.5, 0.9], True),  # the second excludes 0, which does not matter
        ([-0.5, 1.1], [0.5, 1.3], False),
        ([-0.5, -1.3], [0.5, -1.1], False),
        ([-0.5, 0.2], [0.5, 1.2], None),
        ([], [], None),
    ],
)
def test_intervals_within_a_margin(low, high, expected):
    assert within(low, high, 1.0) is expected


@pytest.mark.parametrize(
    ("p_value", "high", "expected"), [(0.5, 0.5, True), (0.01, 0.5, False), (0.5, 2, None), (np.nan, 2, None)]
)
def test_differences_that_are_not_detected(p_value, high, expected):
    assert undetected([p_value], [-0.5], [high], 1.0) is expected


def test_degrees_of_freedom_are_those_of_welch():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=4), rng.normal(scale=3, size=11)
    errors = [values.std(ddof=1) / np.sqrt(len(values)) for values in (first, second)]
    expected = ttest_ind(first, second, equal_var=False).df
    assert welch_freedom(errors[0], 4, errors[1], 11) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("random", "errors", "instances", "detected", "same"),
    [
        (0.2, (0.0005, 0.0005), 24, YES, YES),
        (0.18, (0.001, 0.001), 24, NO, NO),
        (0.198, (0.0002, 0.0002), 24, NO, YES),  # many runs see 1 %
        (0.196, (0.0005, 0.0005), 24, NO, OPEN),
        (0.2, (0.02, 0.02), 24, OPEN, OPEN),
        (0.2, (0.001, 0.0001), 24, YES, YES),
        (0.2, (0.001, 0.0001), 3, OPEN, OPEN),  # an error from three instances is uncertain
    ],
)
def test_energies_with_and_without_a_signal(random, errors, instances, detected, same):
    rows = pd.DataFrame({"N": [128], "alpha": 2.5, "zero": 0.2, "zero_instances": 32, "random": random})
    rows = rows.assign(random_error=errors[0], zero_error=errors[1], random_instances=instances)
    gaps = control.relative_differences(rows)
    assert control.no_gap(gaps).verdict is detected
    assert control.same_energy(gaps).verdict is same


def test_instances_behind_an_energy_are_those_with_a_run_that_ends_there():
    """Of four instances of two starts, two have a run that does not recover, one of them two."""
    T, R = Outcome.TRAPPED, Outcome.RECOVERED
    outcome = np.array([[T, Outcome.UNDECIDED], [R, R], [R, T], [Outcome.PENDING, R]])
    fates = ["all", "recovered", "not recovered"]
    dims, coords = ("N", "alpha", "start_group"), {"N": [64], "alpha": [2.5], "fate": fates}
    cells = {
        name: ((*dims, "fate"), np.full((1, 1, 1, 3), 0.2)) for name in ("energy", "energy_error", "runs")
    }
    kinds = {"start_kind": ("start_group", [0]), "start_m0": ("start_group", [np.nan])}
    theory = xr.Dataset({"threshold_energy": ("alpha", [0.1])}, {"alpha": [2.5]})
    recovery = {"outcome": ((*dims, "instance", "start"), outcome[None, None, None].astype(np.uint8))}
    tables = {
        "window": xr.Dataset(cells, coords | kinds),
        "recovery": xr.Dataset(recovery, {"N": [64], "alpha": [2.5]}),
        "theory": theory,
    }
    found = control.energies(tables, tables).iloc[0]
    assert (found["random_instances"], found["zero_instances"]) == (2, 4)


@pytest.mark.parametrize(
    ("others", "runs", "expected", "by_far"),
    [
        ((2.9, 3.2), 2000, YES, YES),
        ((2.5, 3.2), 4000, NO, NO),
        ((2.56, 3.2), 12000, YES, NO),  # many runs see a small gap
        ((2.53, 3.2), 60, OPEN, OPEN),
    ],
)
def test_the_best_regulariser(others, runs, expected, by_far):
    fits = {
        a: group_curves(planted_counts({128: middle}, runs, seed))[0]
        for seed, (a, middle) in enumerate(zip((0.01, 0.1, 1.0), (2.5, *others), strict=True))
    }
    gaps = regularisers.gaps_of(fits)
    assert regularisers.best(128, gaps).verdict is expected
    assert regularisers.best_by_far(128, gaps).verdict is by_far
    assert regularisers.best(128, regularisers.gaps_of({0.01: fits[0.01]})).verdict is OPEN


@pytest.mark.parametrize(
    ("difference", "error", "detected", "same"),
    [
        (0.0, 0.004, YES, YES),
        (0.01, 0.002, NO, YES),
        (0.017, 0.005, NO, OPEN),
        (0.0, 0.02, OPEN, OPEN),
        (0.06, 0.005, NO, NO),
    ],
)
def test_a_difference_that_is_detected_need_not_be_large(difference, error, detected, same):
    p_value = 2 * norm.sf(abs(difference) / error)
    shift = pd.DataFrame({"N": [128], "difference": difference, "difference_error": error})
    shift = shift.assign(difference_lower=difference - 2 * error, difference_upper=difference + 2 * error)
    shift = shift.assign(adjusted=p_value)
    assert universality.same("ensemble-sphere", shift).verdict is detected
    assert universality.same_within("ensemble-sphere", shift).verdict is same


def test_differences_are_paired_by_instance():
    """Two sweeps of which every run but a few has the same fate: pairs see a difference, sums do not."""
    reference = planted_counts({128: 2.5}, runs=200)
    same = paired_share(reference, reference, 128)
    assert (same.difference, same.error, same.p_value) == (0, 0, 1)
    moved = reference.copy(deep=True)
    lost = int(reference["recovered"].values[0, 3, 0, :40].sum())
    moved["recovered"].values[0, 3, 0, :40] = 0
    paired = paired_share(moved, reference, 128)
    assert paired.difference == pytest.approx(-lost / 5 / 200)
    assert paired.p_value < 1e-4
    independent = paired_share(planted_counts({128: 2.5}, runs=200, seed=9), reference, 128)
    assert independent.p_value > 0.01
    assert paired.error < independent.error / 2


def test_estimates_from_the_same_instances_are_correlated():
    reference, other = planted_counts({128: 2.5}), planted_counts({128: 2.5}, seed=3)
    fit, independent = group_curves(reference)[0], group_curves(other)[0]
    assert paired_correlation(reference, fit, reference, fit) == pytest.approx(1)
    assert abs(paired_correlation(other, independent, reference, fit)) < 0.2


def test_undecided_runs_stand_beside_alpha_50():
    counts = planted_counts({128: 2.5})
    counts["undecided"] = counts["runs"] - counts["recovered"]
    (fit,) = group_curves(counts)
    assert isinstance(fit, Success)
    assert fit.undecided == pytest.approx(0.5, abs=0.05)
    assert midpoint(fit).endswith("% undecided)")


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


def test_warm_starts_are_tested_where_they_are_ahead_of_random_ones():
    """With m0 = 0.1 that is from N = 512 on; at N = 128 they may recover no better."""
    warm = {128: 2.5, 512: 2.2, 1024: 2.2}
    groups = [planted_counts({128: 2.5, 512: 2.5, 1024: 2.5}, 100), planted_counts(warm, 100, seed=4)]
    counts = xr.concat(
        [group.drop_vars(["start_kind", "start_m0"]) for group in groups],
        "start_group",
        join="outer",
        fill_value=0,
    ).assign_coords(
        start_kind=("start_group", [int(StartKind.RANDOM), int(StartKind.WARM)]),
        start_m0=("start_group", [np.nan, 0.1]),
    )
    for m0, tested in ((0.1, [512, 1024]), (0.01, []), (0.3, [128, 512, 1024])):
        counts["start_m0"][1] = m0
        tests = initialisation.paired_tests({"starts-a1": {"counts": counts}})
        assert tests["N"].tolist() == tested


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


def fates(alphas, shares, never):
    """A sweep of one size with planted shares of recovered runs and of runs that never have an outlier."""
    dims, number = ("N", "alpha"), len(alphas)
    auc = xr.DataArray([[[0.6, 0.9]] * number], dims=(*dims, "quantity"))
    fate = xr.Dataset({f"auc{end}": auc for end in ("", "_low", "_high")})
    fate = fate.assign({f"auc_growth{end}": (dims, [[0.3] * number]) for end in ("", "_low", "_high")})
    fate = fate.assign(share_recovered=(dims, [shares]), moment=(dims, [[1.0] * number]))
    fate = fate.assign(probability=auc.expand_dims(bin=2))
    at = {"N": [256], "alpha": alphas}
    lost = xr.Dataset({"never": ((*dims, "start_group", "fate"), np.reshape(never, (1, -1, 1, 1)))})
    times = xr.Dataset({"auc": ((*dims, "start_group", "time"), np.ones((1, number, 1, 1)))})
    return {
        "fate": fate.assign_coords(at | {"quantity": ["initial_overlap", "overlap"]}),
        "window": lost.assign_coords(at | {"fate": ["all"]}),
        "decision": times.assign_coords(at | {"time": [2.0]}),
        "theory": THEORY,
    }


def test_only_cells_with_a_window_tell_when_the_fate_is_decided():
    """alpha_init is 1: below it, and where most runs never have an outlier, there is no window."""
    scaling = fates([0.9, 1.2, 1.4], [0.5, 0.6, 0.7], [0.1, 0.7, 0.4])
    (row,) = decision.fates_at_the_window([scaling]).to_dict("records")
    assert (row["alpha"], row["outlier"], row["sweep"]) == (1.4, pytest.approx(0.6), 0)
    nearer = fates([1.3, 2.0], [0.45, 0.9], [0.2, 0.0])  # of another sweep at the same N
    (row,) = decision.fates_at_the_window([scaling, nearer]).to_dict("records")
    assert (row["alpha"], row["sweep"]) == (1.3, 1)
    none = decision.fates_at_the_window([fates([0.9, 1.2], [0.5, 0.6], [0.1, 0.7])])
    assert none.empty
    assert decision.grows("a", none).verdict is decision.decided("a", none).verdict is OPEN
    assert "no window" in decision.grows("a", none).found
