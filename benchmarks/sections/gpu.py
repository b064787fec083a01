"""The engine on a GPU: gradients against the floor that arithmetic and memory set, and whole runs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

import phasepipe as pp
from benchmarks.harness import Action, Plan, Row, Samples, Table, clock, interleave
from phasepipe.physics.batch import run_batch
from phasepipe.physics.field import GradientField
from phasepipe.physics.protocol import Flow, RunProtocol
from phasepipe.physics.record_times import record_times
from phasepipe.physics.sphere import to_sphere

ALPHA, LOSS = 3.0, pp.NormalisedQuartic(a=0.01)
ROWS = (16, 128, 1024)
T_MAX = 60.0
STARTS = 64
INSTANCES = {512: 16, 2048: 4}  # of the runs; one at larger N
ON_ONE_CORE = (512, 2048)  # at N = 8192 a batch would take a core minutes
PRODUCT = 8192  # rows of the square matrices that define the peak


def measure(plan: Plan) -> list[Table]:
    """Two tables, or none on a machine without PyTorch or a GPU."""
    if find_spec("torch") is None:
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    sizes = (128, 256) if plan.quick else (512, 2048, 8192)
    name = f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    gradients = Table(
        "Gradients on a GPU",
        f"{name}; alpha = {ALPHA:g}, a = {LOSS.a:g}, float32 without TF32. Runs of one instance: millions of "
        "evaluations per second, and share of the floor, which is 4 M N floating-point operations per run at "
        f"the rate of a square product of {PRODUCT} rows, or two readings of the sensing matrix at the rate "
        "of a copy, whichever takes longer; all in the same turn.",
    )
    flows = Table(
        f"Flow to t = {T_MAX:g} with records on a GPU",
        f"{name}; alpha = {ALPHA:g}, a = {LOSS.a:g}, {STARTS} starts of each instance. The floor counts the "
        "operations of the evaluations alone. One core of the same machine solves the same runs of one "
        "instance.",
    )
    for N in sizes:
        instances = 1 if plan.quick else INSTANCES.get(N, 1)
        problems = [pp.Problem.draw(N, ALPHA, seed=0, instance=number) for number in range(instances)]
        gradients.rows.append(_gradients(problems[0], plan, torch))
        flows.rows.append(_flow(problems, plan, torch))
        torch.cuda.empty_cache()
    return [gradients, flows]


def _gradients(problem: pp.Problem, plan: Plan, torch: Any) -> Row:
    contestants = _ceilings(plan, torch)
    for rows in ROWS:
        field = GradientField([problem], LOSS, np.zeros(rows, np.intp), "float32", "gpu")
        points = to_sphere(pp.starts.random(problem, rows, seed=0).astype(np.float32))
        contestants[str(rows)] = _finished(torch, field, field.arrays.send(points), np.arange(rows))
    found = interleave(contestants, plan.rounds(7))
    row: Row = {"N": problem.N, "matrix, MB": 4e-6 * problem.M * problem.N}
    for rows in ROWS:
        seconds = found[str(rows)].seconds
        row[f"{rows} runs, 10^6/s"] = 1e-6 * rows / seconds
        row[f"{rows} runs, per cent of the floor"] = 100 * _floor(problem, rows, found, plan) / seconds
    return row


def _floor(problem: pp.Problem, rows: int, found: dict[str, Samples], plan: Plan) -> float:
    """Seconds that an evaluation takes at least."""
    size = _product_rows(plan)
    arithmetic = 4 * problem.M * problem.N * rows / (2 * size**3) * found["product"].seconds
    memory = 2 * problem.M * problem.N / (2 * size**2) * found["copy"].seconds
    return max(arithmetic, memory)


def _product_rows(plan: Plan) -> int:
    return 1024 if plan.quick else PRODUCT


def _ceilings(plan: Plan, torch: Any) -> dict[str, Action]:
    """A square product, and a copy of a matrix of that size (read and written)."""
    size = _product_rows(plan)
    left, right = torch.randn(2, size, size, device="cuda")
    out = torch.empty_like(left)
    return {
        "product": _finished(torch, torch.mm, left, right, out=out),
        "copy": _finished(torch, out.copy_, left),
    }


def _finished(torch: Any, function: Any, *arguments: Any, **options: Any) -> Action:
    """A call that waits until the GPU has done it."""

    def action() -> None:
        function(*arguments, **options)
        torch.cuda.synchronize()

    return action


def _flow(problems: list[pp.Problem], plan: Plan, torch: Any) -> Row:
    problem, loss = problems[0], LOSS
    starts = [pp.starts.random(one, STARTS, seed=0) for one in problems]
    there = RunProtocol(Flow(), record_times(T_MAX, 8), device="gpu")
    here = RunProtocol(Flow(), record_times(T_MAX, 8))
    run_batch(problems[:1], loss, starts[:1], RunProtocol(Flow(), record_times(0.1, 8), device="gpu"))
    kept: dict[str, Any] = {}

    def on_gpu() -> None:
        kept["gpu"] = run_batch(problems, loss, starts, there)

    def on_core() -> None:
        kept["core"] = run_batch(problems[:1], loss, starts[:1], here)

    found = interleave(_ceilings(plan, torch), plan.rounds(5))
    seconds = min(clock(on_gpu)[0] for _ in range(plan.rounds(2)))
    evaluations = kept["gpu"]["evaluations"].values
    row: Row = {
        "N": problem.N,
        "runs": evaluations.size,
        "recovered": float((kept["gpu"]["outcome"].values == pp.Outcome.RECOVERED).mean()),
        "evaluations per run": float(evaluations.mean()),
        "ms per run": 1e3 * seconds / evaluations.size,
        "per cent of the floor": 100 * float(_floor(problem, int(evaluations.sum()), found, plan)) / seconds,
        "ms per run on one core": None,
        "same fates": None,
    }
    if plan.quick or problem.N in ON_ONE_CORE:
        row["ms per run on one core"] = 1e3 * clock(on_core)[0] / STARTS
        same = kept["gpu"]["outcome"].values[:STARTS] == kept["core"]["outcome"].values
        row["same fates"] = f"{int(same.sum())} of {same.size}"
    return row
