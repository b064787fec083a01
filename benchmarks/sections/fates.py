"""Gradient evaluations to the same fate: the flow, compared with a fixed step and with other tolerances.

The seeds fix the runs. Their reference fates come from the flow in double precision at a tolerance a hundred
times smaller. Descent with a fixed step has the gradient and the criteria for fates in common with the flow,
but not the integrator.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

import phasepipe as pp
from benchmarks.harness import Plan, Row, Table, clock
from phasepipe.physics.batch import run_batch
from phasepipe.physics.protocol import Descent, Flow, RunProtocol
from phasepipe.physics.record_times import record_times

RATE, T_MAX, REFERENCE = 1e-3, 100.0, 1e-4
Case = tuple[float, int, float, int]  # a, N, alpha, instances
STARTS = 16
AGAINST_DESCENT: tuple[Case, ...] = tuple(
    (0.01, N, alpha, instances)
    for N, instances in ((128, 8), (256, 4), (512, 2))
    for alpha in (2.5, 3.0, 4.0)
)
AGAINST_TOLERANCE: tuple[Case, ...] = tuple(
    (a, N, alpha, instances)
    for a in (0.01, 1.0)
    for N, instances in ((128, 32), (256, 16), (512, 8))
    for alpha in (2.5, 3.0, 4.0)
)
TOLERANCES = (1e-3, 1e-2, 2e-2)  # 1e-2 is the default
TARGET = 100  # times fewer evaluations, at fates of which 99 % are equal


def measure(plan: Plan) -> list[Table]:
    t_max = 2.0 if plan.quick else T_MAX
    small: tuple[Case, ...] = ((0.01, 32, 3.0, 2),)
    descent = Table(
        f"Evaluations per run, a = 0.01, budget t = {T_MAX:g}, tolerance 1e-2, fixed step {RATE:g}",
        f"{STARTS} starts of each instance, all in one batch. A fate is recovered, trapped or undecided by "
        f"the end, and compared with that at tolerance {REFERENCE:g} in float64; 'recovery' asks only "
        "whether the run has recovered. The fixed step ends where the flow does, at recovery or in a trap; "
        "'to the budget' is the ratio for a loop that does not know when to end. "
        f"Target: {TARGET} times fewer, 99 % of the fates equal.",
        [_against_descent(case, t_max) for case in (small if plan.quick else AGAINST_DESCENT)],
    )
    tolerances = Table(
        f"The flow against itself at tolerance {REFERENCE:g} in float64, budget t = {T_MAX:g}",
        "Evaluations per run, per cent of fates equal and, after the stroke, of recoveries.",
        [_against_tolerance(case, t_max) for case in (small if plan.quick else AGAINST_TOLERANCE)],
    )
    return [descent, tolerances]


class _Runs:
    """The runs of a case, fixed by its seed."""

    def __init__(self, case: Case, t_max: float) -> None:
        a, N, alpha, instances = case
        self._loss, self._times = pp.NormalisedQuartic(a), record_times(t_max, 8)
        self._problems = [pp.Problem.draw(N, alpha, seed=20, instance=number) for number in range(instances)]
        self._starts = [pp.starts.random(problem, STARTS, seed=20) for problem in self._problems]
        self.reference = run_batch(
            self._problems,
            self._loss,
            self._starts,
            RunProtocol(Flow(REFERENCE), self._times, dtype="float64"),
        )

    def run(self, dynamics: Flow | Descent) -> xr.Dataset:
        return run_batch(self._problems, self._loss, self._starts, RunProtocol(dynamics, self._times))

    def same(self, found: xr.Dataset) -> tuple[int, int]:
        """Number of runs with the same fate, and with the same recovery, as the reference."""
        fates = [runs["outcome"].values for runs in (found, self.reference)]
        recovered = [outcome == pp.Outcome.RECOVERED for outcome in fates]
        return int(np.sum(fates[0] == fates[1])), int(np.sum(recovered[0] == recovered[1]))


def _columns(case: Case, runs: _Runs) -> Row:
    a, N, alpha, _ = case
    fates = runs.reference["outcome"].values
    recovered = float(np.mean(fates == pp.Outcome.RECOVERED))
    return {"a": a, "N": N, "alpha": alpha, "runs": fates.size, "recovered": recovered}


def _evaluations(found: xr.Dataset) -> float:
    return float(found["evaluations"].mean())


def _against_descent(case: Case, t_max: float) -> Row:
    runs = _Runs(case, t_max)
    found: dict[str, xr.Dataset] = {}
    seconds: dict[str, float] = {}
    for name, dynamics in (("flow", Flow()), ("fixed step", Descent(RATE))):

        def run(name: str = name, dynamics: Flow | Descent = dynamics) -> None:
            found[name] = runs.run(dynamics)

        seconds[name] = clock(run)[0]
    row = _columns(case, runs) | {name: _evaluations(runs_of) for name, runs_of in found.items()}
    row["times fewer"] = row["fixed step"] / row["flow"]
    row["to the budget"] = t_max / RATE / row["flow"]
    row["times faster, both in batches"] = seconds["fixed step"] / seconds["flow"]
    for name, runs_of in found.items():
        fates, recoveries = runs.same(runs_of)
        row[f"fates equal, {name}"], row[f"recovery, {name}"] = fates, recoveries
    return row


def _against_tolerance(case: Case, t_max: float) -> Row:
    runs = _Runs(case, t_max)
    return _columns(case, runs) | dict(_at_tolerances(runs))


def _at_tolerances(runs: _Runs) -> Iterable[tuple[str, str | float]]:
    yield f"evaluations, {REFERENCE:g}", _evaluations(runs.reference)
    for tolerance in TOLERANCES:
        found = runs.run(Flow(tolerance))
        fates, recoveries = (100 * count / found["outcome"].size for count in runs.same(found))
        yield f"evaluations, {tolerance:g}", _evaluations(found)
        yield f"equal, {tolerance:g}", f"{fates:.1f} / {recoveries:.1f}"
