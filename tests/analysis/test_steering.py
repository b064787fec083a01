"""Rounds of a sweep that steers itself, on planted counts."""

import numpy as np
import pytest

from phasepipe.analysis.curves import fit_curve
from phasepipe.analysis.planted import PlantedScaling
from phasepipe.analysis.steering import Ended, Goal, Sizing, half_width, next_step
from phasepipe.analysis.steering_coverage import (
    GRIDS,
    PlantedSweep,
    core_seconds,
    steered,
    steering_coverage,
    summary,
)
from phasepipe.analysis.steering_text import conclusion, reason_for_round

TRUTH = PlantedScaling(alpha_inf=2.5, amplitude=0.0, width=0.6, inverse_nu=0.0)


def planted(sizes=(64, 96), alphas=(1.5, 2.0, 2.5, 3.0, 3.5), instances=12, starts=8, seed=0):
    sweep = PlantedSweep(TRUTH, starts, np.random.default_rng(seed))
    for N in sizes:
        for alpha in alphas:
            sweep.add(N, alpha, instances)
    return sweep


def step_of(sweep, goal, spent=0.0, **options):
    return next_step(list(sweep.cells()), core_seconds, goal, spent, **options)


def test_a_round_follows_from_the_runs_alone_and_lies_on_one_lattice():
    goal = Goal(0.02, (64, 96), 1e6)
    first, again = (step_of(planted(), goal) for _ in range(2))
    assert first.additions.equals(again.additions)
    assert first.ended is None
    new = first.additions[~np.isin(first.additions["alpha"], (1.5, 2.0, 2.5, 3.0, 3.5))]
    assert (new["instances"] >= 8).all()
    measurements = new["alpha"] * new["N"]
    np.testing.assert_array_equal(measurements, np.round(measurements))
    # steps between an eighth and a sixteenth of a width
    assert np.gcd.reduce(np.round(measurements).astype(int)) % 2 == 0


def test_a_round_multiplies_the_information_at_most_as_allowed_and_then_aims_below_the_goal():
    before = fit_curve(next(planted(instances=60).cells()), steered=True)
    for wanted, share in ((1e-4, 1 / 2), (half_width(before) * 0.8, 0.8 * 0.9)):
        sweep = planted(instances=60)
        step = step_of(sweep, Goal(wanted, (64,), 1e9))
        assert set(step.additions["N"]) == {64}
        for row in step.additions.to_dict("records"):
            sweep.add(row["N"], row["alpha"], row["instances"])
        after = fit_curve(next(sweep.cells()), steered=True)
        assert half_width(after) / half_width(before) == pytest.approx(share, rel=0.25)


def test_rounds_end_where_the_goal_is_reached_or_the_budget_spent_and_say_so():
    sweep, goal = planted(), Goal(0.5, (64, 96), 3600.0)
    done = step_of(sweep, goal)
    assert done.ended is Ended.REACHED
    assert conclusion(done, goal, 0.0, 0) == "alpha_50 is known to ±0.5 at N = 64 and 96, without a round"
    tight = Goal(0.01, (64, 96), 3600.0)
    spent = step_of(sweep, tight, spent=3600.0)
    assert spent.ended is Ended.BUDGET_SPENT
    said = conclusion(spent, tight, 3600.0, 2)
    assert said.startswith(
        "the budget of 1 core-hours is spent, after 2 rounds of 1 core-hours: alpha_50 is "
    )
    assert "at N = 64 and to ±" in said
    assert reason_for_round(spent, tight).startswith("±0.01 is wanted, and alpha_50 is known to ±")
    # what is left pays a part
    part = step_of(sweep, tight, spent=3599.0)
    assert 0.5 < part.additions["core_seconds"].sum() <= 1.0


def test_a_grid_beside_the_crossing_is_widened_and_one_that_cannot_be_ends():
    sweep = planted(sizes=(64,), alphas=(3.5, 4.0))
    assert step_of(sweep, Goal(0.05, (64,), 1e6)).additions["alpha"].max() < 3.5
    easy = PlantedSweep(PlantedScaling(alpha_inf=-5.0, amplitude=0.0), 8, np.random.default_rng(1))
    for alpha in (1 / 64, 2 / 64):
        easy.add(64, alpha, 12)
    goal = Goal(0.05, (64,), 1e6)
    step = step_of(easy, goal)
    assert step.ended is Ended.NO_CANDIDATE
    assert "at every alpha that could be added" in conclusion(step, goal, 0.0, 0)


@pytest.mark.parametrize("grid", ["coarse", "beside"])
def test_a_steered_sweep_reaches_its_goal_in_few_rounds(grid):
    rows = steered("skewed", GRIDS[grid], Sizing(), Goal(0.03, (64, 256), 1e6), seed=3)
    assert rows["reached"].all()
    assert (rows["half_width"] <= 0.03).all()
    assert (rows["half_width"] > 0.015).all()
    assert rows["rounds"].max() <= 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["logistic", "skewed the other way", "easy or hard", "heavy tails"])
def test_final_intervals_of_steered_sweeps_cover(kind):
    rows = steering_coverage(GRIDS["fine"], Sizing(), 60, kinds=[kind], first_seed=10_000)
    table = summary(rows)
    print(table.to_string())
    assert table.loc["all", "coverage"] >= 91
    assert table.loc["all", ["below", "above"]].max() <= 7
