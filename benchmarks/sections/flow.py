"""Complete runs of gradient flow: share of the peak, milliseconds per run, and their growth with N."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.stats import linregress

import phasepipe as pp
from benchmarks.harness import Plan, Row, Table, interleave
from benchmarks.machine import PRODUCT_FLOPS, product
from phasepipe.physics.batch import run_batch
from phasepipe.physics.protocol import Flow, RunProtocol
from phasepipe.physics.record_times import record_times

T_MAX = 60.0
STARTS = 64
INSTANCES = {128: 4, 256: 4, 512: 2}  # one instance at larger N, where a batch of 64 runs is large enough


def measure(plan: Plan) -> list[Table]:
    sizes = (32, 64, 128) if plan.quick else (128, 256, 512, 1024, 2048)
    cases = itertools.product((0.01, 1.0), (3.0, 4.0))
    rows = [_measure(N, alpha, a, plan) for a, alpha in cases for N in sizes]
    flows = Table(
        "Flow to t = 60 with records",
        f"Batches of {STARTS} starts of each instance; 4 M N floating-point operations per evaluation, "
        "records and certificates of traps count as nothing. The peak is that of a square SGEMM in the "
        "same turn.",
        rows,
    )
    return [flows, _growth(rows)]


def _measure(N: int, alpha: float, a: float, plan: Plan) -> Row:
    instances = 1 if plan.quick else INSTANCES.get(N, 1)
    problems = [pp.Problem.draw(N, alpha, seed=0, instance=number) for number in range(instances)]
    starts = [pp.starts.random(problem, 8 if plan.quick else STARTS, seed=0) for problem in problems]
    loss, protocol = pp.NormalisedQuartic(a), RunProtocol(Flow(), record_times(T_MAX, 8))
    runs = run_batch(problems, loss, starts, protocol)
    found = interleave(
        {"flow": lambda: run_batch(problems, loss, starts, protocol), "product": product()},
        plan.rounds(3 if N <= 512 else 2),
        warm_up=False,
    )
    evaluations = runs["evaluations"].values
    flops = 4.0 * problems[0].M * N * evaluations.sum()
    return {
        "a": a,
        "alpha": alpha,
        "N": N,
        "runs": evaluations.size,
        "recovered": float((runs["outcome"].values == pp.Outcome.RECOVERED).mean()),
        "evaluations per run": float(evaluations.mean()),
        "ms per run": 1e3 * found["flow"].seconds / evaluations.size,
        "per cent of peak": found["product"].over(found["flow"]).scaled(100 * flops / PRODUCT_FLOPS),
    }


def _growth(rows: list[Row]) -> Table:
    table = Table(
        "Growth with N",
        "Exponent of the seconds per run (those of the products alone would be 2), and evaluations per run "
        "as an offset and a slope in log2 N; least squares over the sizes above, standard errors in "
        "brackets.",
    )
    for a, alpha in dict.fromkeys((row["a"], row["alpha"]) for row in rows):
        chosen = [row for row in rows if (row["a"], row["alpha"]) == (a, alpha)]
        N = np.log2([row["N"] for row in chosen])
        seconds = linregress(N, np.log2([row["ms per run"] for row in chosen]))
        evaluations = linregress(N, [row["evaluations per run"] for row in chosen])
        table.rows.append(
            {
                "a": a,
                "alpha": alpha,
                "exponent of seconds": f"{seconds.slope:.2f} ({seconds.stderr:.2f})",
                "evaluations per doubling of N": f"{evaluations.slope:.0f} ({evaluations.stderr:.0f})",
                "evaluations at N = 1024": float(evaluations.intercept + 10 * evaluations.slope),
            }
        )
    return table
