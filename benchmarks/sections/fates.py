"""Gradient evaluations to the same fate: the flow against descent with a fixed step of 1e-3.

The runs are frozen by their seeds. The descent shares with the flow the gradient and the rule that tells
fates, not the integrator.
"""

from __future__ import annotations

import numpy as np

import phasepipe as pp
from benchmarks.harness import Plan, Row, Table, clock
from phasepipe.physics.flow import Descent, Flow, Protocol, run_batch
from phasepipe.physics.records import record_times

A, RATE, T_MAX = 0.01, 1e-3, 100.0
CASES = ((128, 2.5, 14), (128, 3.0, 14), (256, 2.5, 6), (256, 3.0, 6))  # N, alpha, instances
STARTS = 8


def measure(plan: Plan) -> list[Table]:
    table = Table(
        f"Evaluations per run, a = {A}, budget t = {T_MAX:g}, tolerance 1e-2",
        f"{STARTS} starts of each instance, all in one batch. A fate is recovered, trapped or undecided; "
        "'recovery agrees' asks only whether the run has recovered by the end.",
    )
    cases = ((32, 3.0, 2),) if plan.quick else CASES
    table.rows = [_measure(*case, t_max=2.0 if plan.quick else T_MAX) for case in cases]
    return [table]


def _measure(N: int, alpha: float, instances: int, t_max: float) -> Row:
    problems = [pp.Problem.draw(N, alpha, seed=20, instance=number) for number in range(instances)]
    starts = [pp.starts.random(problem, STARTS, seed=20) for problem in problems]
    found, seconds = {}, {}

    def run(dynamics: Flow | Descent) -> None:
        protocol = Protocol(dynamics, record_times(t_max, 8))
        found[type(dynamics)] = run_batch(problems, pp.NormalisedQuartic(A), starts, protocol)

    for dynamics in (Flow(), Descent(RATE)):
        seconds[type(dynamics)] = clock(lambda dynamics=dynamics: run(dynamics))[0]
    flow, descent = found[Flow], found[Descent]
    evaluations = [float(runs["evaluations"].mean()) for runs in (flow, descent)]
    recovered = [runs["outcome"].values == pp.Outcome.RECOVERED for runs in (flow, descent)]
    same = flow["outcome"].values == descent["outcome"].values
    return {
        "N": N,
        "alpha": alpha,
        "runs": same.size,
        "recovered": float(recovered[0].mean()),
        "flow": evaluations[0],
        "fixed step": evaluations[1],
        "times fewer": evaluations[1] / evaluations[0],
        "times faster, both in batches": seconds[Descent] / seconds[Flow],
        "fates equal": f"{int(same.sum())} of {same.size}",
        "recovery agrees": f"{int(np.sum(recovered[0] == recovered[1]))} of {same.size}",
    }
