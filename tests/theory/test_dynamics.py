"""The dynamics for N to infinity against closed forms, a dense eigen-solver and runs of the engine."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import phasepipe as pp
from phasepipe import NormalisedQuartic
from phasepipe.theory import dynamics, dynamics_grid, initial_spectrum
from phasepipe.theory.dynamics_grid import choose_times
from phasepipe.theory.effective_process import EffectiveProcess
from phasepipe.theory.implicit_step import implicit_prediction
from phasepipe.theory.noise import GaussianVariables
from phasepipe.theory.quadrature import ConvergenceError

Float = NDArray[np.float64]


def linear_curvature(y: Any) -> Any:
    return (0.6 - y * y) / (1 + y * y)


@pytest.fixture(scope="module")
def linear_loss(custom: Any) -> Any:
    """A loss whose force is linear in the prediction: the flow is power iteration with a known matrix."""

    def curvature(yhat: Any, y: Any) -> Any:
        return linear_curvature(y) + 0 * yhat

    return custom(
        value=lambda yhat, y: linear_curvature(y) * yhat**2 / 2,
        slope=lambda yhat, y: linear_curvature(y) * yhat,
        curvature=curvature,
    )


def solve(loss: Any, alpha: float, times: Float, samples: int, seed: int = 0, **options: Any) -> Any:
    antithetic = options.get("initial_overlap", 0.0) != 0
    variables = GaussianVariables(samples, len(times) + 1, seed, antithetic=antithetic)
    process = EffectiveProcess(loss, alpha, variables, len(times), **options)
    for step in np.diff(times):
        process.advance(step)
    return process


def dense(N: int, alpha: float, times: Float, instances: int) -> tuple[Float, Float, Float]:
    """``C(t, 0)``, ``A(t)`` and ``V(t)`` of the linear loss from eigenvalues and eigenvectors.

    The norm is that of a problem without signal: at finite N the outlier is one of few eigenvalues.
    """
    found = []
    for instance in range(instances):
        decays = {}
        for zero_signal in (False, True):
            problem = pp.Problem.draw(N, alpha, seed=5, instance=instance, zero_signal=zero_signal)
            X = problem.sensing.astype(np.float64)
            values, vectors = np.linalg.eigh((X.T * linear_curvature(problem.labels)) @ X / N)
            decays[zero_signal] = np.exp(-np.outer(times, values))
            if not zero_signal:
                signal = (vectors.T @ problem.signal) ** 2 / N
        norm = np.sqrt(np.mean(decays[True] ** 2, axis=1))
        signal_terms = [decays[False] @ signal / norm, decays[False] ** 2 @ signal / norm**2]
        found.append([decays[True].mean(axis=1) / norm, *signal_terms])
    correlation, amplification, variance = np.mean(found, axis=0)
    return correlation, amplification, variance


def compare_with_dense(linear_loss: Any, N: int, instances: int, tolerance: float) -> None:
    times = np.linspace(0, 1, 21)
    correlation, amplification, variance = dense(N, 2.0, times, instances)
    process = solve(linear_loss, 2.0, times, 2**13)
    assert amplification[-1] > 1.2  # the signal direction is amplified, so that the comparison says something
    assert process.coefficients[:, 0] == pytest.approx(correlation, rel=tolerance)
    assert process.amplification == pytest.approx(amplification, rel=tolerance)
    assert process.variance == pytest.approx(variance, rel=2 * tolerance)


def test_linear_loss_against_dense_solver(linear_loss: Any) -> None:
    compare_with_dense(linear_loss, N=400, instances=12, tolerance=0.02)


@pytest.mark.slow
def test_linear_loss_against_large_dense_solver(linear_loss: Any) -> None:
    compare_with_dense(linear_loss, N=1200, instances=32, tolerance=0.01)


def test_second_order_in_the_step(linear_loss: Any) -> None:
    def last(steps: int) -> Float:
        process = solve(linear_loss, 2.0, np.linspace(0, 1.5, steps + 1), 2**14)
        return np.array([process.coefficients[steps, 0], process.amplification[steps]])

    coarse, middle, fine = last(3), last(6), last(12)
    order = np.log2(np.abs((coarse - middle) / (middle - fine)))
    assert order == pytest.approx(2.0, abs=0.4)


def test_error_falls_with_samples() -> None:
    times = choose_times(NormalisedQuartic(1.0), 3.0, 0.5, 0.2)

    def spread(samples: int) -> float:
        ends = [solve(NormalisedQuartic(1.0), 3.0, times, samples, seed).energy[-1] for seed in range(6)]
        return float(np.std(ends))

    assert spread(2**12) < spread(2**8) / 2.5  # 4 by the central limit theorem, more by even spreading


@pytest.mark.parametrize(("a", "alpha"), [(1.0, 3.0), (0.01, 3.0)])
def test_start_is_the_static_theory(a: float, alpha: float) -> None:
    loss = NormalisedQuartic(a)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = dynamics(loss, alpha, 1e-4, samples=2**16, accuracy=0.1)
    static = initial_spectrum(loss, alpha)
    start = result.isel(time=0)
    accuracy = 2e-3 if a == 1.0 else 8e-3  # heavy tails at small a
    for name, expected in (("mu", static.mu), ("edge", static.edge), ("outlier", static.outlier)):
        assert float(start[name]) == pytest.approx(expected, rel=accuracy)
    assert float(start["outlier_overlap"]) == pytest.approx(static.overlap, rel=0.02, abs=0.003)


@pytest.fixture(scope="module")
def process() -> Any:
    loss = NormalisedQuartic(1.0)
    return solve(loss, 3.0, choose_times(loss, 3.0, 2.0, 0.06), 2**12)


def test_correlation_with_the_start_is_the_response(process: Any) -> None:
    last = process.steps + 1
    correlation = process.correlation()
    assert correlation[:, 0] == pytest.approx(process.propagator.start[0, :last], abs=1e-9)
    assert np.diag(correlation) == pytest.approx(1.0, abs=1e-9)
    assert np.linalg.eigvalsh(correlation).min() > -1e-9


def test_direction_that_labels_do_not_know_is_not_amplified() -> None:
    loss = NormalisedQuartic(1.0)
    times = choose_times(loss, 3.0, 2.0, 0.06)
    process = solve(loss, 3.0, times, 2**10, direction_weight=np.ones(2**10))
    assert process.variance == pytest.approx(1.0, abs=2e-3)


def test_sum_rule_of_the_sphere() -> None:
    """``d C(t, 0) / dt = mu C - alpha <l'(t) yhat(0)>`` holds for samples, whose fields come from ``R``."""
    loss = NormalisedQuartic(1.0)
    times = choose_times(loss, 3.0, 2.0, 0.06)
    variables = GaussianVariables(2**13, len(times) + 1, 3, antithetic=False)
    process = EffectiveProcess(loss, 3.0, variables, len(times))
    start, rates = process.yhat.copy(), []
    for number in range(len(times)):
        if number:
            process.advance(times[number] - times[number - 1])
        force = loss.slope(process.yhat, process.z)
        rates.append(process.mu[number] * process.coefficients[number, 0] - 3.0 * np.mean(force * start))
    rate = np.array(rates)
    integral = 1 + np.concatenate([[0], np.cumsum(np.diff(times) * (rate[1:] + rate[:-1]) / 2)])
    # kernel and samples are noisy alike; without mu, or with the wrong sign of the memory, it fails by far
    assert process.coefficients[:, 0] == pytest.approx(integral, abs=0.01)


def test_small_overlap_grows_as_the_amplification() -> None:
    loss = NormalisedQuartic(1.0)
    times = choose_times(loss, 3.0, 1.0, 0.1)
    process = solve(loss, 3.0, times, 2**13, initial_overlap=1e-3)
    assert process.amplification[-1] > 2
    assert process.overlap / 1e-3 == pytest.approx(process.amplification, rel=0.02)


def test_overlap_is_driven_by_the_force_along_the_signal(linear_loss: Any) -> None:
    """``<l' z>`` is most of the drift here: an error of a tenth in it changes the overlap by 17 %."""
    process = solve(linear_loss, 3.0, np.linspace(0, 1, 11), 2**12, initial_overlap=1e-3)
    assert process.overlap / 1e-3 == pytest.approx(process.amplification, rel=0.01)


def test_steps_longer_than_the_relaxation_follow_it_adiabatically() -> None:
    """A kick decays within half a unit of time; steps of 2.4 give what steps of 1.4 give."""
    loss, found = NormalisedQuartic(1.0), []
    for share in (0.06, 0.16):
        process = solve(loss, 4.0, choose_times(loss, 4.0, 30.0, share), 2**13)
        found.append((process.energy[process.steps], process.coefficients[process.steps, 0]))
    assert found[1] == pytest.approx(found[0], rel=0.04)


def test_implicit_prediction_solves_its_equation() -> None:
    rng = np.random.default_rng(0)
    target, y = 3 * rng.standard_normal((2, 500))
    loss = NormalisedQuartic(0.01)
    yhat = implicit_prediction(loss, target, y, 0.3, np.zeros(500))
    assert yhat + 0.3 * loss.slope(yhat, y) == pytest.approx(target, abs=1e-8)


def test_variables_are_orthonormal() -> None:
    variables = GaussianVariables(2**10, 50, 1, antithetic=True)
    values = variables.require(40)[:40].astype(np.float64)
    assert values @ values.T / 2**10 == pytest.approx(np.eye(40), abs=1e-5)
    assert values @ variables.label / 2**10 == pytest.approx(0.0, abs=1e-6)
    assert np.mean(variables.label**2) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def result() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dynamics(NormalisedQuartic(1.0), 3.0, 1.0, samples=2**12, accuracy=0.02)


def test_dataset(result: Any) -> None:
    names = {"energy", "mu", "correlation", "response", "overlap", "amplification", "overlap_variance"}
    names |= {"edge", "outlier", "outlier_overlap", "bbp_margin", "t_bbp"}
    assert names | {f"{name}_error" for name in names} | {"label", "yhat"} == set(result.data_vars)
    assert all(result[name].attrs["long_name"] and result[name].attrs["units"] for name in result.data_vars)
    assert result["correlation"].dims == ("time", "earlier")
    assert result.sizes["time"] == result.sizes["earlier"]
    assert float(result.time[-1]) == 1.0
    assert (np.triu(result["response"], 1) == 0).all()
    assert (result["energy_error"].values[1:] > 0).all()
    assert np.isfinite(result["amplification"]).all()
    assert result["yhat"].shape == (result.sizes["time"], 2**12)
    again = 3 * np.mean(NormalisedQuartic(1.0).value(result["yhat"], result["label"]), axis=1)
    assert again.values == pytest.approx(result["energy"].values, rel=0.02)


def test_user_loss_needs_nothing_else(perturbed_amplitude: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = dynamics(perturbed_amplitude(0.1), 2.0, 1.0, samples=2**10, accuracy=0.1)
    assert np.all(np.diff(result["energy"]) < 0)
    assert float(result["amplification"][-1]) > 1.2


def test_accuracy_that_is_out_of_reach_is_said() -> None:
    with pytest.warns(UserWarning, match="accuracy 0.001 was not reached"):
        result = dynamics(NormalisedQuartic(1.0), 3.0, 0.01, samples=2**8, accuracy=0.001)
    assert result.attrs["accuracy_met"] == 0
    assert result.attrs["accuracy_reached"] > 0.001


def test_too_many_steps_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamics_grid, "MOST_STEPS", 40)
    with pytest.raises(ConvergenceError, match="more than 40 time steps"):
        choose_times(NormalisedQuartic(1.0), 3.0, 1.0, 1e-3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"alpha": -1.0}, r"alpha = -1.0 measurements per dimension lies outside \(0, 100\]"),
        ({"alpha": float("nan")}, "alpha = nan measurements per dimension lies outside"),
        ({"t_max": 0.0}, "t_max = 0.0 lies outside"),
        ({"t_max": np.inf}, "t_max = inf lies outside"),
        ({"initial_overlap": 1.0}, "initial_overlap = 1.0 lies outside"),
        ({"samples": 1000}, "samples = 1000 is not a power of two"),
        ({"samples": 64}, "samples = 64 is not a power of two from 256 to 1048576"),
        ({"seeds": 1}, "seeds = 1 leaves nothing"),
        ({"accuracy": 0.0}, "accuracy = 0.0 lies outside"),
    ],
)
def test_bad_numbers(options: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {"alpha": 3.0, "t_max": 1.0} | options
    with pytest.raises(ValueError, match=sentence):
        dynamics(NormalisedQuartic(1.0), **arguments)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"alpha": "3"}, "alpha = '3' is not a number; take for example 3.0"),
        ({"t_max": None}, "t_max = None is not a number"),
        ({"samples": 1024.0}, "samples = 1024.0 is not an integer"),
        ({"seeds": 2.5}, "seeds = 2.5 is not an integer"),
    ],
)
def test_no_numbers(options: dict[str, Any], sentence: str) -> None:
    arguments: dict[str, Any] = {"alpha": 3.0, "t_max": 1.0} | options
    with pytest.raises(TypeError, match=sentence):
        dynamics(NormalisedQuartic(1.0), **arguments)


def test_loss_that_is_not_finite() -> None:
    class Holes(NormalisedQuartic):
        def value(self, yhat: Any, y: Any) -> Any:
            return np.where(np.asarray(yhat) > 1, np.nan, super().value(yhat, y))

    with pytest.raises(ValueError, match="its value is not finite at yhat and y of order one"):
        dynamics(Holes(1.0), 3.0, 1.0)


def test_loss_that_is_not_even(custom: Any) -> None:
    odd = custom(
        value=lambda yhat, y: (yhat - y) ** 2 / 2,
        slope=lambda yhat, y: yhat - y,
        curvature=lambda yhat, y: np.ones_like(yhat - y),
    )
    with pytest.raises(ValueError, match="changes with the sign"):
        dynamics(odd, 3.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "expected"), [(1.5, 0.459), (2.0, 0.914), (3.0, 1.75), (4.0, 3.00)])
def test_time_at_which_the_outlier_ceases(alpha: float, expected: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = dynamics(NormalisedQuartic(1.0), alpha, 1.5 * expected, samples=2**14, seeds=4)
    error = float(result["t_bbp_error"])
    assert error < 0.08 * expected
    assert abs(float(result["t_bbp"]) - expected) < max(0.02 * expected, 2 * error)


@pytest.mark.slow
@pytest.mark.parametrize("a", [1.0, 0.01])
def test_runs_without_signal(a: float) -> None:
    """Labels that know nothing: the flow stays at zero overlap, as for N to infinity."""
    loss, alpha, N = NormalisedQuartic(a), 3.0, 1024
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = dynamics(loss, alpha, 1.0, samples=2**14)
    runs = []
    for instance in range(24):
        problem = pp.Problem.draw(N, alpha, seed=11, instance=instance, zero_signal=True)
        start = pp.starts.random(problem, 1, seed=11)
        flow = pp.run_flow(problem, loss, start, t_max=1.0, relative_tolerance=1e-3, snapshots=True)
        point = flow["snapshot"].isel(start=0).values
        correlation = point @ point[0] / N
        runs.append([flow["loss"].isel(start=0), flow["mu"].isel(start=0), correlation])
    mean, spread = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    times = flow["time"].values
    for place, name in enumerate(("energy", "mu", "correlation")):
        predicted = result[name].isel(earlier=0) if name == "correlation" else result[name]
        error = result[f"{name}_error"]
        error = error.isel(earlier=0) if name == "correlation" else error
        for time in (0.1, 1.0):
            at = int(np.argmin(np.abs(times - time)))
            value = float(predicted.interp(time=times[at], method="cubic"))
            allowed = 3 * np.hypot(spread[place, at], float(error.interp(time=times[at])))
            assert abs(mean[place, at] - value) < allowed + 0.004 * abs(value), (name, time)
