"""Fates, records and invariants of gradient flow and gradient descent."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import phasepipe as pp
from phasepipe.physics.batch import run_batch
from phasepipe.physics.continuation import RunStates
from phasepipe.physics.field import GradientField
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.protocol import Descent, Flow, RunProtocol
from phasepipe.physics.record_times import record_times

LOSS = pp.NormalisedQuartic(a=0.01)
SMOOTH = pp.NormalisedQuartic(a=1.0)


def direct_loss(problem, loss, w):
    return loss.value(problem.sensing.astype(float) @ w / np.sqrt(problem.N), problem.labels).sum()


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), a=st.floats(0.01, 10))
def test_velocity_is_minus_the_gradient_along_the_sphere(seed, a):
    problem, loss = pp.Problem.draw(N=12, alpha=2.5, seed=seed), pp.NormalisedQuartic(a=a)
    w = pp.starts.random(problem, 1, seed)[0]
    field = GradientField([problem], loss, np.zeros(1, np.intp), "float64")
    velocity = field(w[None], np.zeros(1, np.intp))[0]
    assert velocity @ w == pytest.approx(0, abs=1e-9 * np.abs(velocity).max() * 12)
    direction = np.random.default_rng(seed).standard_normal(12)
    direction -= (direction @ w) * w / 12
    angle = np.linalg.norm(direction) / np.sqrt(12)

    def along(t):  # great circle
        return direct_loss(problem, loss, np.cos(t * angle) * w + np.sin(t * angle) / angle * direction)

    h = 1e-3
    difference = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h)
    scale = np.linalg.norm(velocity) * np.linalg.norm(direction)
    assert -velocity @ direction == pytest.approx(difference, abs=1e-5 * scale)


def test_flow_follows_an_independent_integrator():
    problem = pp.Problem.draw(N=24, alpha=3, seed=5)
    w0 = pp.starts.random(problem, 4, 5)
    X, y = problem.sensing.astype(float), problem.labels

    def velocity(t, w):
        del t
        G = X.T @ SMOOTH.slope(X @ w / np.sqrt(24), y) / np.sqrt(24)
        return -G + (w @ G) / (w @ w) * w

    runs = pp.run_flow(
        problem, SMOOTH, w0, t_max=20, relative_tolerance=1e-8, recovery_threshold=0.9999, dtype="float64",
        gradient_tolerance=1e-14,
    )  # fmt: skip
    for start in range(4):
        times = runs.time.values[np.isfinite(runs.overlap[start].values)]
        solution = solve_ivp(velocity, (0, times[-1]), w0[start], "LSODA", times, rtol=1e-10, atol=1e-10)
        expected = solution.y.T @ problem.signal / 24
        np.testing.assert_allclose(runs.overlap[start, : len(times)], expected, atol=2e-4)
        losses = [direct_loss(problem, SMOOTH, w) / 24 for w in solution.y.T]
        np.testing.assert_allclose(runs.loss[start, : len(times)], losses, rtol=2e-3, atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), alpha=st.floats(1, 4))
def test_loss_falls_and_the_sphere_is_kept(seed, alpha):
    problem = pp.Problem.draw(N=20, alpha=alpha, seed=seed)
    runs = pp.run_flow(problem, LOSS, pp.starts.random(problem, 3, seed), t_max=5, snapshots=True)
    for start in range(3):
        loss = runs.loss[start].values
        loss = loss[np.isfinite(loss)]
        assert np.all(np.diff(loss) <= 1e-5 * loss[:-1] + 1e-9)
        points = runs.snapshot[start].values
        points = points[np.isfinite(points).all(axis=1)]
        np.testing.assert_allclose((points**2).sum(axis=1), 20, rtol=1e-5)
        np.testing.assert_allclose(
            points @ problem.signal / 20, runs.overlap[start].values[: len(points)], atol=1e-5
        )
    assert np.nanmax(np.abs(runs.overlap)) <= 1 + 1e-6


def test_signal_and_its_mirror_give_mirrored_runs():
    problem = pp.Problem.draw(N=32, alpha=3, seed=2)
    w0 = pp.starts.random(problem, 3, 2)
    plus, minus = (pp.run_flow(problem, LOSS, sign * w0, t_max=20) for sign in (1, -1))
    np.testing.assert_array_equal(plus.outcome, minus.outcome)
    np.testing.assert_allclose(plus.overlap, -minus.overlap, atol=1e-4)


def test_outcomes_and_their_records_agree():
    problem = pp.Problem.draw(N=48, alpha=2, seed=3)
    runs = pp.run_flow(problem, LOSS, pp.starts.random(problem, 48, 3), t_max=100)
    recovered = runs.outcome == Outcome.RECOVERED
    assert 0 < int(recovered.sum()) < 48
    assert not (runs.outcome == Outcome.PENDING).any()
    np.testing.assert_array_equal(np.isfinite(runs.recovery_time), recovered)
    np.testing.assert_array_equal(runs.end_time.where(recovered), runs.recovery_time)
    within = (runs.time <= runs.end_time).transpose("start", "time")
    np.testing.assert_array_equal(np.isfinite(runs.overlap), within)
    assert float(np.abs(runs.overlap).max()) < 0.99 + 1e-6
    undecided = runs.outcome == Outcome.UNDECIDED
    assert (runs.end_time.where(undecided, 100) == 100).all()


def test_trapped_runs_are_next_to_a_minimum():
    problem = pp.Problem.draw(N=32, alpha=1.5, seed=4)
    runs = pp.run_flow(problem, LOSS, pp.starts.random(problem, 32, 4), t_max=200, snapshots=True)
    trapped = np.flatnonzero(runs.outcome == Outcome.TRAPPED)
    assert len(trapped) >= 3
    for start in trapped:
        kept = runs.snapshot[start].values
        w = kept[np.isfinite(kept).all(axis=1)][-1].astype(float)
        further = pp.run_flow(
            problem, LOSS, w, t_max=1000, dtype="float64", relative_tolerance=1e-4, gradient_tolerance=1e-10,
            snapshots=True,
        )  # fmt: skip
        last = further.snapshot[0].values
        last = last[np.isfinite(last).all(axis=1)][-1]
        assert further.outcome[0] != Outcome.RECOVERED
        assert np.linalg.norm(last - w) / np.sqrt(32) < 0.1
        assert pp.spectrum(problem, LOSS, to_unit(last), k=1).eigenvalues[0] > 0


def to_unit(w):
    return w * np.sqrt(len(w)) / np.linalg.norm(w)


def test_fates_agree_with_literal_descent_and_time_axes_match():
    N, fates, times = 64, [], record_times(100, 8)
    flow_cost = descent_cost = 0
    problems = [pp.Problem.draw(N=N, alpha=2.5, seed=8, instance=i) for i in range(4)]
    starts = [pp.starts.random(problem, 16, 8) for problem in problems]
    flow = run_batch(problems, LOSS, starts, RunProtocol(Flow(1e-2), times))
    fine = run_batch(problems, LOSS, starts, RunProtocol(Flow(1e-4), times))
    for index, problem in enumerate(problems):
        descent = pp.run_descent(problem, LOSS, starts[index], 1e-3, t_max=100)
        rows = slice(16 * index, 16 * index + 16)
        same = (descent.outcome == Outcome.RECOVERED).values == (
            flow.outcome[rows] == Outcome.RECOVERED
        ).values
        fates.append(same)
        flow_cost += int(flow.evaluations[rows].sum())
        descent_cost += int(descent.evaluations.sum())
    assert np.mean(fates) >= 0.98
    assert descent_cost > 60 * flow_cost
    for t in (0.1, 1.0, 10.0):
        change = np.abs(flow.loss.sel(time=t) / fine.loss.sel(time=t) - 1).values
        assert np.nanmedian(change) < 1e-2


def test_descent_takes_literal_steps():
    problem = pp.Problem.draw(N=16, alpha=3, seed=6)
    w = pp.starts.random(problem, 1, 6)[0]
    X = problem.sensing.astype(float)
    runs = pp.run_descent(problem, SMOOTH, w, 1e-2, t_max=0.1, dtype="float64", snapshots=True)
    for _ in range(10):
        G = X.T @ SMOOTH.slope(X @ w / 4, problem.labels) / 4
        w = w - 1e-2 * (G - (w @ G) / 16 * w)
        w *= 4 / np.linalg.norm(w)
    np.testing.assert_allclose(runs.snapshot[0, -1], w, rtol=1e-6)
    assert int(runs.evaluations[0]) == 10


def test_descent_with_too_large_a_rate_is_not_counted_as_trapped():
    problem = pp.Problem.draw(N=32, alpha=3, seed=6)
    runs = pp.run_descent(problem, pp.Quartic(), pp.starts.random(problem, 2, 6), 1e30, t_max=1e32)
    assert set(runs.outcome.values.tolist()) == {Outcome.DIVERGED}


def test_a_start_at_the_signal_is_recovered_at_once():
    problem = pp.Problem.draw(N=16, alpha=3, seed=6)
    runs = pp.run_flow(problem, LOSS, np.stack([problem.signal, -problem.signal]))
    assert (runs.outcome == Outcome.RECOVERED).all()
    assert (runs.recovery_time == 0).all()


def test_batch_of_instances_equals_each_alone():
    problems = [pp.Problem.draw(N=20, alpha=2, seed=1, instance=i) for i in range(3)]
    starts = [pp.starts.random(problem, 4, 1) for problem in problems]
    protocol = RunProtocol(Flow(), record_times(10, 4))
    together = run_batch(problems, LOSS, starts, protocol)
    for index in range(3):
        alone = run_batch(problems[index : index + 1], LOSS, starts[index : index + 1], protocol)
        for name in alone.data_vars:
            np.testing.assert_array_equal(alone[name], together[name][4 * index : 4 * index + 4])


@pytest.mark.parametrize("dynamics", [Flow(), Descent(1e-2)], ids=repr)
def test_instances_that_do_not_stay_in_the_cache_together_get_the_same_bits(monkeypatch, dynamics):
    problems = [pp.Problem.draw(32, 2.5, seed=9, instance=number) for number in range(4)]
    starts = [pp.starts.random(problem, 3 + number, seed=9) for number, problem in enumerate(problems)]
    loss, found = pp.NormalisedQuartic(0.1), []
    for together in (4, 3, 1):
        size = together * problems[0].M * 32 * 4
        monkeypatch.setattr("phasepipe.physics.batch.cached_bytes", lambda size=size: size)
        first = run_batch(problems, loss, starts, RunProtocol(dynamics, record_times(3, 4)))
        further = RunProtocol(dynamics, record_times(30, 4), snapshots=np.array([5]))
        found.append(run_batch(problems, loss, starts, further, states=RunStates(first["state"].values)))
    assert (found[0]["outcome"] == pp.Outcome.RECOVERED).any()
    for other in found[1:]:
        xr.testing.assert_identical(other, found[0])


def test_float32_and_float64_give_the_same_fates():
    problem = pp.Problem.draw(N=64, alpha=3, seed=9)
    w0 = pp.starts.random(problem, 32, 9)
    single, double = (pp.run_flow(problem, LOSS, w0, t_max=50, dtype=d) for d in ("float32", "float64"))
    recovered = [(runs.outcome == Outcome.RECOVERED).values for runs in (single, double)]
    assert (recovered[0] == recovered[1]).mean() >= 31 / 32


def test_zero_signal_runs_end_in_threshold_states():
    problem = pp.Problem.draw(N=48, alpha=3, seed=1, zero_signal=True)
    runs = pp.run_flow(problem, LOSS, pp.starts.random(problem, 8, 1), t_max=20)
    assert not (runs.outcome == Outcome.RECOVERED).any()
    assert float(runs.loss.isel(time=-1).mean()) > 0.01


def test_record_times_have_fixed_places():
    times = record_times(100, 8)
    assert times[0] == 0
    assert times[-1] == 100
    short = record_times(3, 8)
    np.testing.assert_allclose(short[:-1], times[: len(short) - 1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w0": np.ones((2, 5))}, "w0 has shape"),
        ({"t_max": -1.0}, "t_max = -1.0"),
        ({"relative_tolerance": 1e-9}, "relative_tolerance = 1e-09 lies outside"),
        ({"recovery_threshold": 1.0}, "recovery_threshold = 1.0"),
    ],
)
def test_bad_arguments_are_refused(change, message):
    problem = pp.Problem.draw(N=16, alpha=2, seed=1)
    arguments = {"w0": np.ones(16)} | change
    with pytest.raises(ValueError, match=message):
        pp.run_flow(problem, LOSS, **arguments)
