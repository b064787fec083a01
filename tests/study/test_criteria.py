"""Every criterion of the study can succeed, fail and stay open: planted data with known answers."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm, ttest_ind

from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.start_kinds import StartKind
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_store
from study import predictions
from study.claims import (
    control,
    decision,
    initial,
    initialisation,
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
