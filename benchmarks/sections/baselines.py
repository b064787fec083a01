"""The engine compared with simple loops over the steps of single runs with a fixed step.

A loop costs the same at every step, so it is timed on a number of steps and scaled to the time budget.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

import phasepipe as pp
from benchmarks.harness import Action, Plan, Row, Table, had_the_core, interleave

A, ALPHA, T_MAX, RATE = 0.01, 3.0, 60.0, 1e-3
STARTS = 128
SAFETY = 0.9  # in units of the largest stable learning rate
TARGET = 500  # how many times faster than the JAX loop the engine should be, per run and core, at N = 1024


def measure(plan: Plan) -> list[Table]:
    with one_core():
        return [_table(plan)]


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process and its new threads on one core, where the system allows it.

    XLA uses all cores, whatever its flags say.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def use_one_thread_in_jax() -> None:
    """Like all other methods here; JAX reads these once, at its first computation."""
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")


def _table(plan: Plan) -> Table:
    jax_steps = _jax_steps()
    table = Table(
        f"Seconds of one run to t = {T_MAX:g} on one core, a = {A}, alpha = {ALPHA:g}",
        "The process is kept on one core. "
        f"Fixed steps of {RATE:g}; 'largest stable rate' is {SAFETY} times 2 / lambda_max of the Hessian at "
        "the start (median of 4 starts) in the NumPy loop. Loops are timed on some steps and scaled. 'as "
        "long as the engine' compares with a loop that is told when the run recovers or is trapped, which "
        f"a script does not know. Target: {TARGET} times the JAX loop to the same time at N = 1024."
        + ("" if jax_steps else " JAX is not installed (dependency group bench): its loop is left out."),
    )
    for N in (64,) if plan.quick else (256, 1024):
        table.rows += _measure(N, jax_steps, plan)
    return table


def _measure(N: int, jax_steps: _Steps | None, plan: Plan) -> list[Row]:
    loss = pp.NormalisedQuartic(A)
    problem = pp.Problem.draw(N, ALPHA, seed=0)
    points = pp.starts.random(problem, 8 if plan.quick else STARTS, seed=0)
    count = 20 if plan.quick else 100
    loops: dict[str, Action] = {"NumPy float64": _numpy_steps(problem, points[0], count)}
    if jax_steps is not None:
        loops["JAX lax.scan float32"] = jax_steps(problem, points[0], count)
    found = interleave(
        {"engine": lambda: pp.run_flow(problem, loss, points, t_max=T_MAX)} | loops, plan.rounds(5), 0.0
    )
    runs = pp.run_flow(problem, loss, points, t_max=T_MAX)
    share = float(runs["end_time"].mean()) / T_MAX
    rate = SAFETY * 2 / float(pp.spectrum(problem, loss, points[:4])["largest_eigenvalue"].median())
    methods = {name: (name, RATE) for name in loops}
    methods["NumPy float64, largest stable rate"] = ("NumPy float64", rate)
    engine = {
        "N": N,
        "method": f"engine, batch of {len(points)}",
        "steps": float(runs["evaluations"].mean()),
        "seconds per run": found["engine"].seconds / len(points),
        "times the engine": None,
        "as long as the engine": None,
        "CPU / wall": had_the_core([found["engine"]]),
    }
    rows = [engine]
    for method, (name, step) in methods.items():
        scale = T_MAX / step / count
        ratio = found[name].over(found["engine"]).scaled(scale * len(points))
        rows.append(
            {
                "N": N,
                "method": method,
                "steps": round(T_MAX / step),
                "seconds per run": found[name].seconds * scale,
                "times the engine": ratio,
                "as long as the engine": ratio.scaled(share),
                "CPU / wall": had_the_core([found[name]]),
            }
        )
    return rows


def _numpy_steps(problem: pp.Problem, start: np.ndarray, count: int) -> Action:
    X, y, root = problem.sensing.astype(np.float64), problem.labels, np.sqrt(problem.N)

    def run() -> np.ndarray:
        w = start
        for _ in range(count):
            yhat = X @ w / root
            gradient = X.T @ (yhat * (yhat**2 - y**2) / (A + y**2)) / root
            w = w - RATE * (gradient - (gradient @ w) / problem.N * w)
            w = w * root / np.linalg.norm(w)
        return w

    return run


_Steps = Callable[[pp.Problem, np.ndarray, int], Action]


def _jax_steps() -> _Steps | None:
    use_one_thread_in_jax()
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None

    def steps(problem: pp.Problem, start: np.ndarray, count: int) -> Action:
        X, y = jnp.asarray(problem.sensing), jnp.asarray(problem.labels, jnp.float32)
        N, w0 = problem.N, jnp.asarray(start, jnp.float32)

        def energy(w, X, y):
            yhat = X @ w / jnp.sqrt(N)
            return jnp.sum((yhat**2 - y**2) ** 2 / (A + y**2)) / 4

        @jax.jit
        def run(w, X, y):
            def step(w, _):
                value, gradient = jax.value_and_grad(energy)(w, X, y)
                w = w - RATE * (gradient - (gradient @ w) / N * w)
                return w * jnp.sqrt(N) / jnp.linalg.norm(w), value

            return jax.lax.scan(step, w, None, length=count)

        return lambda: jax.block_until_ready(run(w0, X, y))

    return steps
