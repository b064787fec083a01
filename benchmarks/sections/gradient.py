"""Speed of gradient evaluations in batches, as a share of the peak rate of matrix products."""

from __future__ import annotations

import itertools

import numpy as np

import phasepipe as pp
from benchmarks.harness import Plan, Table, interleave
from benchmarks.machine import PRODUCT_FLOPS, product
from phasepipe.physics.field import GradientField
from phasepipe.physics.sphere import to_sphere

ROWS = (16, 64, 128)


def measure(plan: Plan) -> list[Table]:
    sizes = (128, 256) if plan.quick else (128, 256, 512, 1024, 2048)
    table = Table(
        "Share of the SGEMM peak, per cent",
        "One evaluation of the gradient of a batch of runs of one instance, 4 M N floating-point operations "
        "per run (the loss and the projection count as nothing), against a square SGEMM in the same turn.",
    )
    for N, alpha, a in itertools.product(sizes, (3.0, 4.0), (0.01, 1.0)):
        problem = pp.Problem.draw(N, alpha, seed=0)
        row = {"N": N, "alpha": alpha, "a": a}
        table.rows.append(row | {f"{rows} runs": _share(problem, a, rows, plan) for rows in ROWS})
    return [table]


def _share(problem: pp.Problem, a: float, rows: int, plan: Plan):
    runs = np.arange(rows)
    field = GradientField([problem], pp.NormalisedQuartic(a), np.zeros(rows, np.intp), "float32")
    points = to_sphere(pp.starts.random(problem, rows, seed=0).astype(np.float32))
    found = interleave(
        {"gradient": lambda: field(points, runs), "product": product()}, plan.rounds(7), least_seconds=0.01
    )
    flops = 4 * problem.M * problem.N * rows
    return found["product"].over(found["gradient"]).scaled(100 * flops / PRODUCT_FLOPS)
