"""Stage *descent* of a sweep with the key ``precision``: runs the grid, then rounds that the results ask for.

All rounds share one Dask cluster. What a round adds is a function of the runs before it
(:mod:`phasepipe.analysis.steering`) and is stored before it is computed (:mod:`phasepipe.store.rounds`), so
an interrupted workflow goes on where it was. A run has the same bits as in a sweep with that grid in its
file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from phasepipe.analysis.counts import Cells, cells_by_size
from phasepipe.analysis.curves import CurveFit
from phasepipe.analysis.steering import Goal, Step, half_width, next_step
from phasepipe.analysis.steering_text import conclusion, reason_for_round
from phasepipe.analysis.success import counts_at_budget
from phasepipe.execution.cluster import connected_when_needed
from phasepipe.log import logger, logging_to
from phasepipe.physics.problem import measurement_count
from phasepipe.specification.sweep import Sweep
from phasepipe.stages.refinement import core_seconds_per_run, runs_of_grid
from phasepipe.stages.runs import run_descent
from phasepipe.store.folder import SweepFolder
from phasepipe.store.reading import DamagedStoreError
from phasepipe.store.rounds import Addition, Estimate, Round, Rounds, read_rounds, write_rounds
from phasepipe.store.tables import require_complete


def run_rounds(sweep: Sweep, folder: SweepFolder, cores: int, log: Path | None = None) -> None:
    """Compute and store all runs of ``sweep``, and of the rounds that its key ``precision`` asks for.

    Also raises the errors of :func:`phasepipe.execution.filling.fill_stores`. Finished blocks and decided
    rounds are stored then.

    Raises
    ------
    SweepError
        If the grid with a round exceeds what a sweep may have.
    """
    assert sweep.precision is not None
    goal = Goal(
        sweep.precision.alpha_50, tuple(sorted(sweep.precise_sizes())), 3600 * sweep.precision.core_hours
    )
    rounds = _stored(sweep, folder, log)
    with connected_when_needed(sweep.cluster, cores) as client:
        while True:
            grown = rounds.grown(sweep)
            run_descent(grown, folder, cores, log, client)
            step = next_step(
                _cells(grown, folder, goal.sizes),
                core_seconds_per_run(grown, folder),
                goal,
                rounds.core_seconds,
                starts=sweep.starts[0].count,
            )
            rounds = _followed(rounds, step, goal, grown)
            write_rounds(sweep, folder, rounds)
            with logging_to(log):
                logger.info("precision: %s", rounds.conclusion or f"next round, {rounds.rounds[-1].why}")
            if rounds.conclusion:
                return


def _stored(sweep: Sweep, folder: SweepFolder, log: Path | None) -> Rounds:
    try:
        return read_rounds(sweep, folder)
    except DamagedStoreError as error:
        with logging_to(log):
            logger.warning("%s; the rounds are decided again, from the stored runs", error)
        return Rounds()


def _cells(sweep: Sweep, folder: SweepFolder, sizes: tuple[int, ...]) -> list[Cells]:
    """Recoveries within the full time budget, at every N whose alpha_50 is wanted."""
    tables = []
    for N in sizes:
        runs = runs_of_grid(sweep, folder, N)
        require_complete(sweep, N, runs)
        tables.append(counts_at_budget(runs["outcome"], runs["recovery_time"], sweep.t_max))
    return list(cells_by_size(pd.concat(tables, ignore_index=True)))


def _followed(rounds: Rounds, step: Step, goal: Goal, grown: Sweep) -> Rounds:
    """The rounds with what the last one brought, and the next one or how they ended."""
    *former, last = rounds.rounds
    known = (*former, replace(last, estimates={fit.N: _estimate(fit) for fit in step.fits}))
    if step.ended is not None:
        return Rounds(known, conclusion(step, goal, rounds.core_seconds, len(former)))
    there = {N: grown.instances_at(N) for N in goal.sizes}
    additions = []
    for row in step.additions.to_dict("records"):
        N, new = int(row["N"]), int(row["instances"])
        M = measurement_count(N, float(row["alpha"]))
        additions.append(Addition(N, M, new, there[N].get(M, 0) + new))
    cost = float(step.additions["core_seconds"].sum())
    return Rounds((*known, Round(reason_for_round(step, goal), cost, tuple(additions))))


def _estimate(fit: CurveFit) -> Estimate:
    return Estimate(fit.alpha_50, fit.alpha_50_lower, fit.alpha_50_upper, half_width(fit))
