"""The certificate of a trap: its inequality, its bounds, and that certified runs stay."""

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.physics.traps import _barrier, _largest_cubic, _largest_eigenvalue, _margin, trap_margin

LOSSES = [
    (pp.NormalisedQuartic(0.01), 0.01, 1.0),
    (pp.NormalisedQuartic(1.0), 1.0, 1.0),
    (pp.Quartic(), 1, 0),
]


@pytest.mark.parametrize(("loss", "a", "normalised"), LOSSES, ids=repr)
@pytest.mark.parametrize("size", [0.01, 0.3, 3.0])
def test_what_the_inequality_leaves_out_is_a_sum_of_squares(hessian_product, loss, a, normalised, size):
    N = 12
    problem = pp.Problem.draw(N=N, alpha=2.5, seed=4)
    w, direction = pp.starts.random(problem, 2, seed=4)
    x = size * (direction - (direction @ w) / N * w)
    y, yhat = problem.labels, problem.predictions(w)
    p, q = problem.predictions(x), x @ x / N
    there = problem.predictions((w + x) / np.sqrt(1 + q))
    change = (1 + q) ** 2 * (loss.value(there, y).sum() - loss.value(yhat, y).sum())
    slope, curvature = loss.slope(yhat, y), loss.curvature(yhat, y)
    weight = 1 / (a + normalised * y**2)
    lower = (
        slope @ p
        + x @ hessian_product(problem, loss, w, x) / 2
        + (yhat * weight) @ p**3
        - q * ((yhat * curvature - 3 * slope) / 2) @ p
        - q**2 * loss.value(yhat, y).sum()
    )
    assert change - lower == pytest.approx((weight / 4) @ (p**2 - y**2 * q) ** 2, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_cubic_form_is_nowhere_larger_than_its_bound(seed):
    draw = np.random.default_rng(seed)
    changes, cubic = draw.standard_normal((40, 9)), draw.standard_cauchy(40)
    largest = 0.0
    for u in draw.standard_normal((30, 9)):
        for _ in range(100):  # power method for symmetric tensors
            u = changes.T @ (cubic * (changes @ u) ** 2)
            u /= np.linalg.norm(u)
        largest = max(largest, abs(cubic @ (changes @ u) ** 3))
    assert largest <= _largest_cubic(changes, cubic) <= 3 * largest
    assert _largest_cubic(changes, 0 * cubic) == 0


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_largest_eigenvalue_is_bounded_closely(scale):
    factor = np.random.default_rng(0).standard_normal((60, 80))
    matrix = factor @ factor.T * scale
    largest = np.linalg.eigvalsh(matrix)[-1]
    assert largest <= _largest_eigenvalue(matrix) <= 1.2 * largest


def test_a_barrier_is_where_the_height_is_first_positive():
    s = _barrier(0.1, 0.5, 0.01)
    heights = [t / 2 - 0.5 * t**2 - 0.01 * t**3 - 0.1 for t in (0.999 * s, 1.001 * s)]
    assert heights[0] < 0 < heights[1]
    assert _barrier(0.1, 0, 0) == pytest.approx(0.2)


def test_the_margin_is_the_largest_force_that_the_barrier_holds():
    s = np.linspace(0, 1, 100_001)
    largest = (s / 2 - 0.5 * s**2 - 0.01 * s**3).max()
    assert _margin(0.1, 0.5, 0.01) == pytest.approx(largest / 0.1, rel=1e-6)
    assert _margin(0.2, 0.5, 0.01) < 1 < _margin(0.1, 0.5, 0.01)
    assert _margin(0.0, 0.5, 0.01) == _margin(0.1, 0, 0) == np.inf
    assert _margin(np.nan, 1, 1) == 0


def minimum(problem, loss, w):
    """Where a fine flow from ``w`` ends."""
    runs = pp.run_flow(
        problem, loss, w, t_max=3000, dtype="float64", relative_tolerance=1e-4, gradient_tolerance=1e-300,
        snapshots=True,
    )  # fmt: skip
    assert runs.outcome[0] == pp.Outcome.UNDECIDED
    return runs.snapshot[0, -1].values.astype(float)


@pytest.mark.parametrize("loss", [pp.NormalisedQuartic(0.01), pp.NormalisedQuartic(1.0)], ids=repr)
def test_minima_are_certified_and_starts_saddles_and_the_signal_are_not(loss):
    problem = pp.Problem.draw(N=24, alpha=1.5, seed=4)
    w0 = pp.starts.random(problem, 24, 4)
    runs = pp.run_flow(problem, loss, w0, t_max=100)
    (trapped,) = np.nonzero((runs.outcome == pp.Outcome.TRAPPED).values)
    w = minimum(problem, loss, w0[trapped[0]])
    assert trap_margin(problem, loss, w, 0.99) > 1
    overlap = abs(w @ problem.signal) / 24
    assert trap_margin(problem, loss, w, overlap + 1e-9) == 0  # the threshold is too near to be excluded
    assert max(trap_margin(problem, loss, point, 0.99) for point in w0) <= 1
    assert trap_margin(problem, loss, problem.signal, 0.999999) == 0
    # half-way between two minima there is no certificate
    other = minimum(problem, loss, w0[trapped[-1]])
    if abs(w @ other) / 24 < 0.9:
        between = np.sqrt(24) * (w + other) / np.linalg.norm(w + other)
        assert trap_margin(problem, loss, between, 0.99) <= 1


@pytest.mark.parametrize("a", [0.01, 1.0])
def test_certified_runs_never_recover(a):
    problem, loss = pp.Problem.draw(N=32, alpha=2, seed=6), pp.NormalisedQuartic(a)
    w0 = pp.starts.random(problem, 64, 6)
    runs = pp.run_flow(problem, loss, w0, t_max=50)
    (trapped,) = np.nonzero((runs.outcome == pp.Outcome.TRAPPED).values)
    assert len(trapped) >= 5
    further = pp.run_flow(
        problem, loss, w0[trapped], t_max=2000, dtype="float64", relative_tolerance=1e-3,
        gradient_tolerance=1e-300,
    )  # fmt: skip
    assert (further.outcome != pp.Outcome.RECOVERED).all()
