"""Time to regenerate the sensing matrix from its key, compared with the descent that uses it."""

from __future__ import annotations

import phasepipe as pp
from benchmarks.harness import Plan, Table, interleave


def measure(plan: Plan) -> list[Table]:
    table = Table(
        "Seconds per instance, a = 0.01, alpha = 3, t = 60",
        "A worker draws X from its key and checks its digest before the runs of that instance.",
    )
    loss = pp.NormalisedQuartic(0.01)
    for N in (32, 64) if plan.quick else (128, 256, 512, 1024, 2048):
        problem = pp.Problem.draw(N, 3.0, seed=0)
        starts = pp.starts.random(problem, 64, seed=0)
        actions = {
            "draw": lambda N=N: pp.Problem.draw(N, 3.0, seed=0),
            "digest": problem.digest,
            "16": lambda problem=problem, starts=starts: pp.run_flow(problem, loss, starts[:16], t_max=60.0),
            "64": lambda problem=problem, starts=starts: pp.run_flow(problem, loss, starts, t_max=60.0),
        }
        quick_ones = {name: actions.pop(name) for name in ("draw", "digest")}
        found = interleave(quick_ones, plan.rounds(5)) | interleave(actions, 1, warm_up=False)
        again = found["draw"].seconds + found["digest"].seconds
        table.rows.append(
            {
                "N": N,
                "X, MB": problem.sensing.nbytes / 1e6,
                "draw": found["draw"].seconds,
                "digest": found["digest"].seconds,
                "16 runs": found["16"].seconds,
                "64 runs": found["64"].seconds,
                "per cent of 16 runs": 100 * again / found["16"].seconds,
                "per cent of 64 runs": 100 * again / found["64"].seconds,
            }
        )
    return [table]
