"""spectrum() compared with forming the N x N Hessian and diagonalising it completely."""

from __future__ import annotations

import numpy as np

import phasepipe as pp
from benchmarks.harness import Plan, Table, interleave


def measure(plan: Plan) -> list[Table]:
    table = Table(
        "Milliseconds per point, a = 0.01, alpha = 3",
        "numpy.linalg.eigh forms the tangent-space Hessian (docs/explanation/physics.md §4) in float64 and "
        "takes all eigenvectors; spectrum() gives the two lowest pairs, all eigenvalues' index and extremes; "
        "with full=True also every signal overlap.",
    )
    loss = pp.NormalisedQuartic(0.01)
    for N in (64,) if plan.quick else (256, 512, 1024):
        problem = pp.Problem.draw(N, 3.0, seed=0)
        w = pp.starts.random(problem, 1, seed=0)[0]
        actions = {
            "numpy": lambda problem=problem, w=w: _numpy(problem, w),
            "pairs": lambda problem=problem, w=w: pp.spectrum(problem, loss, w, k=2),
            "full": lambda problem=problem, w=w: pp.spectrum(problem, loss, w, k=2, full=True),
        }
        found = interleave(actions, plan.rounds(3), 0.0)
        error = abs(_numpy(problem, w)[0] - float(pp.spectrum(problem, loss, w, k=2)["eigenvalues"][0]))
        table.rows.append(
            {
                "N": N,
                "numpy.linalg.eigh": 1e3 * found["numpy"].seconds,
                "spectrum(k=2)": 1e3 * found["pairs"].seconds,
                "spectrum(full=True)": 1e3 * found["full"].seconds,
                "times spectrum(k=2)": found["numpy"].over(found["pairs"]),
                "times spectrum(full=True)": found["numpy"].over(found["full"]),
                "difference of the lowest eigenvalue": float(error),
            }
        )
    return [table]


def _numpy(problem: pp.Problem, w: np.ndarray) -> np.ndarray:
    """All eigenvalues, with the spurious zero along w moved above all others."""
    X, y, N, a = problem.sensing.astype(np.float64), problem.labels, problem.N, 0.01
    yhat = X @ w / np.sqrt(N)
    slope, curvature = yhat * (yhat**2 - y**2) / (a + y**2), (3 * yhat**2 - y**2) / (a + y**2)
    P = np.eye(N) - np.outer(w, w) / N
    hessian = P @ ((X.T * curvature) @ X / N) @ P - (yhat @ slope / N) * P
    hessian += 1e6 * np.outer(w, w) / N
    return np.linalg.eigh(hessian)[0]
