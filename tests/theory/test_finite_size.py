"""Success at finite N without a fit: consistency, what lies outside, and runs of the engine."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

import phasepipe as pp
from phasepipe import NormalisedQuartic
from phasepipe.theory import alpha_50, budget_50, recovery_time, success_probability
from phasepipe.theory.warm_starts import WarmStarts, _start_variance, warm_starts

LOSS = NormalisedQuartic(1.0)
QUICK: dict[str, Any] = {"accuracy": 0.1, "samples": 2**10}


def planted(power: float = 1.0) -> WarmStarts:
    """Recovery time ``1 / m^power`` and S = 2."""
    overlaps = np.geomspace(0.01, 0.8, 9)
    times = np.stack([overlaps**-power, overlaps**-power])
    return WarmStarts(3.0, 100.0, overlaps, times, np.full_like(times, 2.0))


def test_critical_overlap_inverts_the_recovery_time() -> None:
    known = planted(1.5)
    overlaps, variances = known.critical(10.0)
    assert overlaps == pytest.approx(10 ** (-1 / 1.5), rel=1e-6)
    assert variances == pytest.approx(2.0)
    assert known.time_to_recover(0.3) == pytest.approx(0.3**-1.5, rel=1e-6)


def test_nothing_is_extrapolated() -> None:
    known = planted()
    assert np.isnan(known.critical(1.2)[0]).all()
    assert np.isnan(known.critical(101.0)[0]).all()
    assert np.isnan(known.time_to_recover(0.9)).all()
    assert np.isnan(known.time_to_recover(0.005)).all()


def test_noise_counts_less_where_the_overlap_grows_faster() -> None:
    amplification = np.array([1.0, 2.0, 4.0])
    variance = np.array([1.0, 1.5, 2.0])
    small = 1e-6 * amplification
    assert _start_variance(small, amplification, variance) == pytest.approx(2.0)
    faster = 1e-6 * np.array([1.0, 4.0, 8.0])  # twice the amplification from the second time on
    assert _start_variance(faster, amplification, variance) == pytest.approx(
        1 + 0.5 * (1 + 0.25) / 2 + 0.5 * 0.25
    )


@pytest.fixture(scope="module")
def known() -> WarmStarts:
    return warm_starts(LOSS, 4.0, 3.2, 0.1, 2**10, 2)


def test_warm_starts_are_kept_in_memory(known: WarmStarts) -> None:
    assert warm_starts(LOSS, 4.0, 3.2, 0.1, 2**10, 2) is known
    assert (np.diff(known.recovery_time, axis=1) < 0).all()
    assert (known.start_variance > 1).all()


def test_success_is_that_of_a_gaussian_overlap(known: WarmStarts) -> None:
    budget = 0.5 * sum(known.times)
    overlaps, variances = known.critical(budget)
    found = success_probability(LOSS, 4.0, 64, budget, **QUICK)
    assert found.value == pytest.approx(np.mean(2 * norm.cdf(-overlaps * np.sqrt(64 / variances))))
    assert 0 < found.error < 0.1
    smaller = success_probability(LOSS, 4.0, 16, budget, **QUICK)
    longer = success_probability(LOSS, 4.0, 64, known.times[1], **QUICK)
    assert smaller.value > found.value
    assert longer.value > found.value


def test_budget_at_which_half_succeed(known: WarmStarts) -> None:
    N = 3
    half = budget_50(LOSS, 4.0, N, longest=3.2, **QUICK)
    assert known.times[0] < half.value < known.times[1]
    assert success_probability(LOSS, 4.0, N, half.value, **QUICK).value == pytest.approx(0.5, abs=0.01)


def test_alpha_at_which_half_succeed() -> None:
    half = alpha_50(LOSS, 16, 3.0, **QUICK)
    below, above = 0.25 * np.floor(half.value / 0.25), 0.25 * np.ceil(half.value / 0.25)
    assert success_probability(LOSS, below, 16, 3.0, **QUICK).value < 0.5
    assert success_probability(LOSS, above, 16, 3.0, **QUICK).value > 0.5
    assert half.error < 0.5


def test_outside_the_range_is_said() -> None:
    with pytest.warns(UserWarning, match="predictions reach t = 101"):
        assert np.isnan(success_probability(LOSS, 4.0, 64, 500.0, **QUICK).value)
    with pytest.warns(UserWarning, match="no recovery time in the range computed"):
        assert np.isnan(recovery_time(LOSS, 4.0, 0.9, longest=3.2, **QUICK).value)
    with pytest.warns(UserWarning, match="the range computed"):
        assert np.isnan(budget_50(LOSS, 4.0, 10**6, longest=3.2, **QUICK).value)
    with pytest.warns(UserWarning, match="outside the range computed"):
        assert np.isnan(success_probability(LOSS, 4.0, 4, 0.01, **QUICK).value)


def test_too_short_a_budget_is_no_success(known: WarmStarts) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = success_probability(LOSS, 4.0, 256, 0.5 * known.times[0], **QUICK)
    assert found.value == 0
    assert found.error < 1e-3


def test_a_loss_that_cannot_be_hashed() -> None:
    class Unhashable(NormalisedQuartic):
        __hash__ = None  # type: ignore[assignment]

    found = warm_starts(Unhashable(1.0), 4.0, 1.0, 0.2, 2**8, 2)
    assert found.horizon == 1.0


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: success_probability(LOSS, 4.0, 1, 3.0), "N = 1 is too small"),
        (
            lambda: success_probability(LOSS, -4.0, 64, 3.0),
            "alpha = -4.0 measurements per dimension lies outside",
        ),
        (lambda: success_probability(LOSS, 4.0, 64, -3.0), "budget = -3.0 is not positive"),
        (lambda: recovery_time(LOSS, 4.0, 1.5), r"initial_overlap = 1.5 lies outside \(0, 1\)"),
    ],
)
def test_bad_numbers(call: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: success_probability(LOSS, 4.0, "64", 3.0), "N = '64' is not a number"),
        (lambda: success_probability(LOSS, 4.0, 64, "3"), "budget = '3' is not a number"),
        (lambda: recovery_time(LOSS, 4.0, None), "initial_overlap = None is not a number"),
    ],
)
def test_no_numbers(call: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        call()


@pytest.mark.slow
def test_warm_runs_of_the_engine() -> None:
    """At N = 2048 the recovery times of warm starts scatter about the prediction for N to infinity."""
    predicted = recovery_time(LOSS, 4.0, 0.5, longest=10.0, samples=2**13)
    times = []
    for instance in range(12):
        problem = pp.Problem.draw(2048, 4.0, seed=3, instance=instance)
        start = pp.starts.warm(problem, 1, seed=3, m0=0.5)
        times.append(float(pp.run_flow(problem, LOSS, start, t_max=30.0)["recovery_time"][0]))
    error = np.std(times, ddof=1) / np.sqrt(len(times))
    assert error < 0.1 * np.mean(times)
    assert abs(np.mean(times) - predicted.value) < 3 * np.hypot(error, predicted.error)
