from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasepipe.analysis.curves import fit_curves
from phasepipe.analysis.planted import PlantedScaling
from phasepipe.analysis.refinement import propose_refinement

PLANTED = PlantedScaling()
SIZES = [128, 256]
ALPHAS = np.linspace(1.0, 6.0, 11)


def cost(N, alpha):
    return 1e-6 * N * N * alpha


def first_sweep(rng):
    return PLANTED.draw(SIZES, ALPHAS, 15, 8, rng)


def grown(counts, proposal, rng):
    extra = [
        PLANTED.draw([row.N], [row.alpha], row.instances, row.starts, rng).assign(
            instance=lambda t: t["instance"] + 100_000
        )
        for row in proposal.itertuples()
    ]
    return pd.concat([counts, *extra])


def test_budget_is_spent_but_not_exceeded():
    for budget in (1.0, 30.0, 1000.0):
        refinement = propose_refinement(first_sweep(np.random.default_rng(0)), cost, budget)
        assert 0.8 * budget < refinement.core_seconds <= budget
        steps = refinement.proposal["alpha"] * refinement.proposal["N"]
        old = np.isin(refinement.proposal["alpha"], ALPHAS)
        np.testing.assert_allclose(steps[~old], np.round(steps[~old]))
        assert (refinement.expected["error_after"] <= refinement.expected["error_before"]).all()


def test_new_instances_lie_around_the_crossing():
    proposal = propose_refinement(first_sweep(np.random.default_rng(1)), cost, 100.0).proposal
    for N, rows in proposal.groupby("N"):
        mean = np.average(rows["alpha"], weights=rows["instances"])
        assert mean == pytest.approx(PLANTED.alpha_50(N), abs=0.3)


def test_running_the_proposal_does_what_it_promised_and_beats_the_uniform_grid():
    rng = np.random.default_rng(2)
    ratio, advantage = [], []
    for _ in range(8):
        counts = first_sweep(rng)
        refinement = propose_refinement(counts, cost, 20.0)
        after = fit_curves(grown(counts, refinement.proposal, rng))
        ratio.append([fit.alpha_50_error for fit in after] / refinement.expected["error_after"])
        share = refinement.core_seconds / sum(8 * cost(N, alpha) for N in SIZES for alpha in ALPHAS)
        uniform = PLANTED.draw(SIZES, ALPHAS, 15 + int(share), 8, rng)
        advantage.append(
            [a.alpha_50_error / b.alpha_50_error for a, b in zip(after, fit_curves(uniform), strict=True)]
        )
    assert np.mean(ratio) == pytest.approx(1, abs=0.15)
    assert np.mean(advantage) < 0.9


def test_size_without_crossing_is_bracketed_first():
    counts = pd.concat(
        [
            PLANTED.draw([128], ALPHAS, 15, 8, np.random.default_rng(3)),
            PLANTED.draw([256], ALPHAS[:5], 15, 8, np.random.default_rng(4)),
        ]
    )
    proposal = propose_refinement(counts, cost, 500.0).proposal
    bracket = proposal[proposal["purpose"] == "bracket"]
    assert (bracket["N"] == 256).all()
    assert bracket["alpha"].min() > ALPHAS[4]
    assert set(proposal.loc[proposal["N"] == 128, "purpose"]) == {"refine"}
    assert proposal["core_seconds"].sum() <= 500


def test_a_budget_below_one_instance_proposes_nothing():
    refinement = propose_refinement(first_sweep(np.random.default_rng(5)), cost, 1e-6)
    assert refinement.proposal.empty
    assert refinement.core_seconds == 0


def test_bad_input_is_refused():
    counts = first_sweep(np.random.default_rng(6))
    with pytest.raises(ValueError, match="budget = -1"):
        propose_refinement(counts, cost, -1)
    with pytest.raises(ValueError, match="cost_per_run = 0"):
        propose_refinement(counts, lambda *_: 0.0, 1.0)
