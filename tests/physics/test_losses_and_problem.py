from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import phasepipe as pp
from phasepipe.physics.losses import require_loss
from phasepipe.physics.problem import measurement_count

LOSSES = [pp.NormalisedQuartic(a=0.01), pp.NormalisedQuartic(a=1.0), pp.Quartic()]
numbers = st.floats(-4, 4, allow_nan=False)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@given(yhat=numbers, y=numbers)
def test_derivatives_match_multiprecision_differences(loss, yhat, y):
    def value(p):
        return loss.value(p, mpmath.mpf(y))

    with mpmath.workdps(40):
        slope, curvature = (float(mpmath.diff(value, mpmath.mpf(yhat), order)) for order in (1, 2))
    assert loss.slope(yhat, y) == pytest.approx(slope, rel=1e-9, abs=1e-9)
    assert loss.curvature(yhat, y) == pytest.approx(curvature, rel=1e-9, abs=1e-9)


def test_quartic_is_the_limit_of_the_normalised_loss():
    yhat, y = np.array([0.3, -1.2, 2.0]), np.array([1.0, 0.4, -0.7])
    np.testing.assert_allclose(
        1e9 * pp.NormalisedQuartic(a=1e9).value(yhat, y), pp.Quartic().value(yhat, y), rtol=1e-8
    )


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_keep_float32(loss):
    yhat = np.ones(3, np.float32)
    for method in (loss.value, loss.slope, loss.curvature):
        assert method(yhat, yhat).dtype == np.float32


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_weight_of_a_quartic_loss_gives_its_slope(loss):
    draw = np.random.default_rng(0)
    y, yhat = draw.normal(size=200), draw.normal(size=(3, 200))
    found = loss.quartic_weight(y) * yhat * (yhat**2 - y**2)
    np.testing.assert_allclose(found, loss.slope(yhat, y), rtol=1e-13)


@pytest.mark.parametrize("a", [0.0, -1.0, np.inf, np.nan])
def test_bad_regulariser_is_refused(a):
    with pytest.raises(ValueError, match="not a positive finite number"):
        pp.NormalisedQuartic(a=a)


def test_a_loss_without_curvature_is_refused():
    class Half:
        def value(self, yhat, y):
            return yhat * y

        slope = value

    with pytest.raises(TypeError, match="lacks curvature"):
        require_loss(Half())


@given(N=st.integers(2, 60), alpha=st.floats(0.6, 5), seed=st.integers(0, 2**31), instance=st.integers(0, 99))
def test_problem_obeys_its_definition(N, alpha, seed, instance):
    problem = pp.Problem.draw(N=N, alpha=alpha, seed=seed, instance=instance)
    assert problem.sensing.shape == (round(alpha * N), N)
    assert problem.alpha == problem.M / N
    assert problem.signal @ problem.signal == pytest.approx(N)
    np.testing.assert_allclose(
        problem.labels, problem.sensing.astype(float) @ problem.signal / np.sqrt(N), atol=1e-12
    )


def test_problem_repeats_and_instances_differ():
    first, again = (pp.Problem.draw(N=20, alpha=2, seed=3, instance=5) for _ in range(2))
    assert first.digest() == again.digest()
    np.testing.assert_array_equal(first.labels, again.labels)
    others = [
        pp.Problem.draw(N=20, alpha=2, seed=3, instance=6),
        pp.Problem.draw(N=20, alpha=2, seed=4, instance=5),
        pp.Problem.draw(N=20, alpha=2.05, seed=3, instance=5),
    ]
    assert len({first.digest(), *(other.digest() for other in others)}) == 4


def test_any_bit_and_the_order_of_the_numbers_decide_the_digest():
    problem = pp.Problem.draw(N=64, alpha=2.3, seed=3)  # 2.3 parts of those whose checksums are taken
    assert problem.digest() == 14335385103254562363  # it is part of stores
    raw, rng = problem.sensing.tobytes(), np.random.default_rng(0)
    found = {int(problem.digest())}
    words = rng.choice(len(raw) // 4, 100, replace=False)
    for place in 32 * words + rng.integers(0, 23, 100):  # no exponents: a problem is made of finite numbers
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        found.add(_with(problem, changed))
    found.add(_with(problem, raw[2**14 : 2**15] + raw[: 2**14] + raw[2**15 :]))
    assert len(found) == 102


def _with(problem, content):
    sensing = np.frombuffer(bytes(content), np.float32).reshape(problem.sensing.shape)
    return int(replace(problem, sensing=sensing).digest())


def test_moments_of_an_instance():
    problem = pp.Problem.draw(N=400, alpha=5, seed=1)
    assert problem.sensing.mean() == pytest.approx(0, abs=5 / np.sqrt(problem.sensing.size))
    assert problem.sensing.var() == pytest.approx(1, abs=5 * np.sqrt(2 / problem.sensing.size))
    assert problem.labels.var() == pytest.approx(1, abs=5 * np.sqrt(2 / problem.M))


def test_zero_signal_labels_know_nothing_of_the_signal():
    problem = pp.Problem.draw(N=200, alpha=5, seed=1, zero_signal=True)
    planted = problem.sensing @ problem.signal / np.sqrt(200)
    assert abs(np.corrcoef(problem.labels, planted)[0, 1]) < 5 / np.sqrt(problem.M)


def test_alpha_without_measurements_is_refused():
    with pytest.raises(ValueError, match=r"gives M = 0 measurements; take alpha of at least 0\.01"):
        measurement_count(100, 0.001)
