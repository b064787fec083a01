"""The engine against adaptive integrators that one would otherwise take: SciPy's, and diffrax on a batch.

Every peer integrates the same problem from the same starts until the run recovers or its time is spent. Its
tolerance is the loosest of a list at which it finds the fates of a fixed set of runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

import phasepipe as pp
from benchmarks.harness import Plan, Row, Table, had_the_core, interleave
from benchmarks.sections.baselines import one_core, use_one_thread_in_jax

A, ALPHA, T_MAX, THRESHOLD = 0.01, 3.0, 60.0, 0.99
SMALL_BATCH = 64
TOLERANCES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
# a tolerance keeps the fates of all runs of a set but one: close to the separatrix they are delicate
SET, INSTANCES = 32, 4
TARGETS = {"SciPy": 25, "diffrax": 8}  # how many times faster the engine should be

Solution = tuple[np.ndarray, np.ndarray]
"""Whether each run recovered, and its evaluations of the gradient; both (runs,)."""

Solve = Callable[[pp.Problem, np.ndarray, float], Callable[[], Solution]]
"""Prepares a function that solves the runs of a problem from starts, (runs, N), at a tolerance."""


@dataclass(frozen=True)
class Peer:
    """An integrator and the number of runs it solves at each N, without those that take minutes a run."""

    name: str
    solve: Solve
    runs: dict[int, int]
    like: str = ""  # a peer with the same steps, whose tolerance it takes


def measure(plan: Plan) -> list[Table]:
    with one_core():
        return [_table(plan)]


def _table(plan: Plan) -> Table:
    table = Table(
        f"Seconds of one run to recovery or t = {T_MAX:g} on one core, a = {A}, alpha = {ALPHA:g}",
        "The process is kept on one core. The engine solves the starts of one instance together, fewer than "
        f"a block of a sweep holds, and the first {SMALL_BATCH} of them once more; it also records and "
        "certifies. SciPy solves the first of them one by one in float64, diffrax the first of them in one "
        "compiled, vectorised call in float32 (absolute tolerance as the relative one; both "
        f"stop at |m| = {THRESHOLD}). rtol is the loosest of {', '.join(f'{t:g}' for t in TOLERANCES)} at "
        f"which all but at most one of {SET} fates at N = 256, of {INSTANCES} instances, are those of the "
        "engine at rtol 1e-4 in float64, or the tightest if none does that within 20,000 steps of diffrax. "
        "Peers that take minutes a run are left out at N = 1024. Targets: "
        + ", ".join(f"{times} times the fastest of {name}" for name, times in TARGETS.items())
        + ".",
    )
    sizes = (32,) if plan.quick else (256, 1024)
    peers = _peers(sizes[0])
    tolerances = {peer.name: _tolerance(peer, sizes[0], plan) for peer in peers if not peer.like}
    tolerances |= {peer.name: tolerances[peer.like] for peer in peers if peer.like}
    for N in sizes:
        table.rows += _measure(N, [peer for peer in peers if peer.runs.get(N)], tolerances, plan)
    return table


def _peers(least: int) -> list[Peer]:
    analytic = "SciPy BDF, analytic Jacobian"
    scipy = {"RK23": {least: 64, 1024: 8}, "RK45": {least: 32, 1024: 4}, "LSODA": {least: 4}}
    found = [
        Peer(f"SciPy {name}", functools.partial(_scipy, name, False), runs) for name, runs in scipy.items()
    ]
    found.append(Peer(analytic, functools.partial(_scipy, "BDF", True), {least: 4, 1024: 1}))
    found.append(Peer("SciPy BDF", functools.partial(_scipy, "BDF", False), {least: 2}, like=analytic))
    try:
        import diffrax  # noqa: F401  in the dependency group bench
    except ImportError:
        return found
    return [
        *found,
        Peer("diffrax Tsit5", functools.partial(_diffrax, "Tsit5"), {least: SMALL_BATCH, 1024: 8}),
        Peer("diffrax Kvaerno3", functools.partial(_diffrax, "Kvaerno3"), {least: 8}),
    ]


def _draw(N: int, count: int, instance: int = 0) -> tuple[pp.Problem, np.ndarray]:
    problem = pp.Problem.draw(N, ALPHA, seed=0, instance=instance)
    return problem, pp.starts.random(problem, count, seed=0)


def _tolerance(peer: Peer, N: int, plan: Plan) -> float:
    """The loosest tolerance that keeps the fates, or the tightest of all."""
    loss, instances = pp.NormalisedQuartic(A), 1 if plan.quick else INSTANCES
    sets = [_draw(N, SET // INSTANCES, instance) for instance in range(instances)]
    exact = [
        pp.run_flow(problem, loss, starts, T_MAX, relative_tolerance=1e-4, dtype="float64")
        for problem, starts in sets
    ]
    for tolerance in TOLERANCES[:-1]:
        different = 0
        for (problem, starts), runs in zip(sets, exact, strict=True):
            recovered, _ = peer.solve(problem, starts, tolerance)()
            different += int((recovered != (runs["outcome"].values == pp.Outcome.RECOVERED)).sum())
            if different > 1:
                break
        else:
            return tolerance
    return TOLERANCES[-1]


def _measure(N: int, peers: Sequence[Peer], tolerances: dict[str, float], plan: Plan) -> list[Row]:
    # a batch as small as those of the peers, and one that costs a run what it costs in a block of a sweep
    batches = (8,) if plan.quick else (SMALL_BATCH,) if N >= 1024 else (4 * SMALL_BATCH, SMALL_BATCH)
    problem, starts = _draw(N, batches[0])
    loss = pp.NormalisedQuartic(A)
    solve = {peer.name: peer.solve(problem, starts[: peer.runs[N]], tolerances[peer.name]) for peer in peers}
    for count in batches:
        solve[f"engine, {count} runs"] = functools.partial(_engine, problem, loss, starts[:count])
    solutions: dict[str, Solution] = {}

    def kept(name: str) -> Callable[[], None]:
        return lambda: solutions.update({name: solve[name]()})

    engine = f"engine, {batches[0]} runs"
    names = [engine, *(name for name in solve if name != engine)]
    found = interleave({name: kept(name) for name in names}, plan.rounds(2 if N < 1024 else 1), warm_up=False)
    rows: list[Row] = []
    for name in names:
        recovered, evaluations = solutions[name]
        count, ratio = len(recovered), found[name].over(found[engine])
        rows.append(
            {
                "N": N,
                "method": name,
                "rtol": tolerances.get(name, 1e-2),
                "runs": count,
                "recovered": float(recovered.mean()),
                "evaluations per run": float(evaluations.mean()),
                "seconds per run": found[name].seconds / count,
                "times the engine": None if name == engine else ratio.scaled(batches[0] / count),
                "CPU / wall": had_the_core([found[name]]),
            }
        )
    return rows


def _engine(problem: pp.Problem, loss: pp.NormalisedQuartic, starts: np.ndarray) -> Solution:
    runs = pp.run_flow(problem, loss, starts, T_MAX)
    return runs["outcome"].values == pp.Outcome.RECOVERED, runs["evaluations"].values


def _scipy(
    method: str, analytic: bool, problem: pp.Problem, starts: np.ndarray, tolerance: float
) -> Callable[[], Solution]:
    X, y, N = problem.sensing.astype(np.float64), problem.labels, problem.N
    root = np.sqrt(N)

    def velocity(_: float, w: np.ndarray) -> np.ndarray:
        yhat = X @ w / root
        gradient = (yhat * (yhat**2 - y**2) / (A + y**2)) @ X / root
        return (gradient @ w / (w @ w)) * w - gradient

    def jacobian(_: float, w: np.ndarray) -> np.ndarray:
        yhat = X @ w / root
        gradient = (yhat * (yhat**2 - y**2) / (A + y**2)) @ X / root
        second = (X.T * ((3 * yhat**2 - y**2) / (A + y**2))) @ X / N
        square = w @ w
        mu = gradient @ w / square
        along = np.outer(w, gradient + second @ w - 2 * mu * w) / square
        return along + mu * np.eye(N) - second

    def recovery(_: float, w: np.ndarray) -> float:
        return abs(w @ problem.signal) / np.sqrt(N * (w @ w)) - THRESHOLD

    recovery.terminal = True  # type: ignore[attr-defined]
    options = {"jac": jacobian} if analytic else {}

    def run() -> Solution:
        found = [
            solve_ivp(
                velocity,
                (0, T_MAX),
                start,
                method,
                events=recovery,
                rtol=tolerance,
                atol=tolerance,
                **options,
            )
            for start in starts
        ]
        return np.array([one.status == 1 for one in found]), np.array([one.nfev for one in found])

    return run


def _diffrax(
    solver: str, problem: pp.Problem, starts: np.ndarray, tolerance: float
) -> Callable[[], Solution]:
    use_one_thread_in_jax()
    import diffrax
    import jax
    import jax.numpy as jnp

    X, y = jnp.asarray(problem.sensing, jnp.float32), jnp.asarray(problem.labels, jnp.float32)
    signal, N = jnp.asarray(problem.signal, jnp.float32), problem.N

    def velocity(_, w, __):
        yhat = X @ w / N**0.5
        gradient = (yhat * (yhat**2 - y**2) / (A + y**2)) @ X / N**0.5
        return (gradient @ w / (w @ w)) * w - gradient

    def recovered(w):
        return jnp.abs(w @ signal) / (N**0.5 * jnp.linalg.norm(w)) > THRESHOLD

    def recovery(_, w, __, **___):
        return recovered(w)

    @jax.jit
    @jax.vmap
    def solve(start):
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(velocity),
            getattr(diffrax, solver)(),
            t0=0.0,
            t1=T_MAX,
            dt0=None,
            y0=start,
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            event=diffrax.Event(recovery),
            max_steps=20_000,
            adjoint=diffrax.ForwardMode(),
            throw=False,
        )
        return recovered(found.ys[0]), found.stats["num_steps"]

    stages = 6 if solver == "Tsit5" else 4  # at least: Newton's iterations of a stage are not reported
    points = jnp.asarray(starts, jnp.float32)
    compiled = solve.lower(points).compile()

    def run() -> Solution:
        recovered, steps = jax.block_until_ready(compiled(points))
        return np.asarray(recovered), stages * np.asarray(steps)

    return run
