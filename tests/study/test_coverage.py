"""A reduced version of the tables of docs/evidence/scaling-coverage.md."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from phasepipe.analysis.coverage import curve_coverage, summary
from phasepipe.analysis.planted import POPULATIONS
from phasepipe.analysis.time_coverage import PlantedTimes, time_coverage
from study.coverage import PLANNED, SLOWNESS, UNLIMITED, design, main, timed_design


def test_designs_are_what_the_sweeps_run():
    scaling = design(PLANNED["scaling-a0.01"].sweep("scaling-a0.01"))
    assert scaling.sizes == (64, 128, 256, 512, 1024, 2048)
    assert scaling.alphas[0] == (1.75, 2, 2.25, 2.5, 2.75)
    assert (scaling.instances[0], scaling.instances[-1], scaling.starts) == ((256,) * 5, (8,) * 3, 8)
    # its sweep has threshold starts too, which the design leaves out
    assert design(PLANNED["control-a0.01"].sweep("control-a0.01")).starts == 4


@pytest.mark.parametrize("name", PLANNED)
def test_every_grid_reaches_both_sides_of_the_planted_alpha_50(name):
    planned = PLANNED[name]
    run = design(planned.sweep(name))
    for N, alphas in zip(run.sizes, run.alphas, strict=True):
        assert min(alphas) < planned.truth.alpha_50(N) < max(alphas)


def test_tables_are_printed(capsys):
    main(["curves", "--studies", "2", "--designs", "control-a0.01"])
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + 3 * len(POPULATIONS)
    assert {row.count("|") for row in rows} == {10}


@pytest.mark.slow
@pytest.mark.parametrize("kind", POPULATIONS)
@pytest.mark.parametrize("name", ["demo", "control-a0.01"])
def test_intervals_cover_truths_that_were_not_drawn_from_the_fit(name, kind):
    planned = PLANNED[name]
    truth = replace(planned.truth, population=POPULATIONS[kind])
    found = curve_coverage(design(planned.sweep(name)), truth, 40, np.random.default_rng(2))
    rows = summary(found).set_index("quantity")
    print(f"{name}, {kind}\n{rows.to_string()}")
    assert rows.loc["P", "coverage"] >= 91.5
    assert rows.loc["alpha_50", "coverage"] >= 90
    assert rows.loc["alpha_50", ["below", "above"]].max() <= 8
    # two steps in one rise are not resolved by these alphas, and the width is then too small
    assert rows.loc["width", "coverage"] >= (70 if kind == "easy or hard" else 88)


@pytest.mark.slow
def test_limit_of_all_forms_is_not_missed_more_often_than_said():
    planned = PLANNED["scaling-a0.01"]
    sweep = planned.sweep("scaling-a0.01")
    found = curve_coverage(design(sweep), planned.truth, 25, np.random.default_rng(3), limit=True)
    rows = summary(found).set_index("quantity")
    print(rows.to_string())
    assert rows.loc["limit, all forms", "coverage"] >= 88


@pytest.mark.slow
@pytest.mark.parametrize("N", [512, 2048])
def test_the_limit_of_long_times_covers_at_the_designs_of_the_study(N):
    truth = replace(UNLIMITED, population=POPULATIONS["skewed"])
    times = PlantedTimes(truth, "lomax", 1.0, *SLOWNESS[N])
    sweep = PLANNED["scaling-a0.01"].sweep("scaling-a0.01")
    found = time_coverage(timed_design(sweep, N), times, 40, np.random.default_rng(5))
    row = summary(found).iloc[0]
    print(row.to_string())
    assert row["coverage"] >= 88
    assert (found["value"] - found["truth"]).median() == pytest.approx(0, abs=0.03)
