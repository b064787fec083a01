"""The integrator against closed forms that share no code with it."""

import numpy as np
import pytest

from phasepipe.physics.chebyshev import ChebyshevIntegrator
from phasepipe.physics.recurrence import MAX_STAGES, coefficients, stages_needed
from phasepipe.physics.sphere import to_sphere
from phasepipe.physics.steps import reached


def stability_polynomial(s, z):
    """The recurrence applied to y' = z y with unit step."""
    mu, nu, mu_tilde, gamma_tilde = (table[s] for table in coefficients())
    before, now = np.ones_like(z), 1 + mu_tilde[1] * z
    for j in range(2, s + 1):
        following = (
            (1 - mu[j] - nu[j]) + mu[j] * now + nu[j] * before + mu_tilde[j] * z * now + gamma_tilde[j] * z
        )
        before, now = now, following
    return now


@pytest.mark.parametrize("s", [2, 3, 5, 10, 40, MAX_STAGES])
def test_stability_polynomial_is_second_order(s):
    h = 1e-3
    p = stability_polynomial(s, np.array([-h, 0.0, h]))
    assert p[1] == pytest.approx(1, abs=1e-12)
    assert (p[2] - p[0]) / (2 * h) == pytest.approx(1, rel=1e-5)
    assert (p[2] - 2 * p[1] + p[0]) / h**2 == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("s", [2, 3, 5, 10, 40, MAX_STAGES])
def test_stability_interval_is_as_long_as_the_stages_claim(s):
    stiffness = np.linspace(0, 0.7 * s**2, 4001)
    stiffness = stiffness[stages_needed(stiffness) <= s]
    assert len(stiffness) > 2000 if s > 2 else stiffness.max() > 1.8
    assert np.abs(stability_polynomial(s, -stiffness)).max() <= 1 + 1e-9


def rayleigh_flow(eigenvalues):
    """dw/dt = -(A - w.Aw/N) w on the sphere, solved by normalise(exp(-A t) w0)."""
    A = np.asarray(eigenvalues)

    def velocity(points, runs):
        del runs
        pull = (A * points**2).sum(axis=1) / (points**2).sum(axis=1)
        return pull[:, None] * points - A * points

    def exact(starts, t):
        return to_sphere(np.exp(-(A - A.min()) * t) * starts)

    return velocity, exact


def integrate(velocity, starts, t_max, tolerance):
    integrator = ChebyshevIntegrator(velocity, starts, t_max, tolerance)
    ends = np.full_like(starts, np.nan)
    while len(integrator.live):
        steps = integrator.advance()
        last = np.flatnonzero(reached(steps.time + steps.step, t_max))
        ends[steps.run[last]] = steps.interpolate(last, (t_max - steps.time[last]) / steps.step[last])
    return ends, integrator


STARTS = to_sphere(np.random.default_rng(0).standard_normal((5, 12)))


def test_observed_order_is_two():
    velocity, exact = rayleigh_flow(np.linspace(-1, 3, 12))
    errors, counts = [], []
    for tolerance in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
        ends, integrator = integrate(velocity, STARTS, 2.0, tolerance)
        errors.append(np.abs(ends - exact(STARTS, 2.0)).max())
        counts.append(integrator.accepted.mean())
    slope = np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(-2, abs=0.2)


def test_stiff_problem_is_solved_with_few_evaluations():
    velocity, exact = rayleigh_flow(np.concatenate([np.linspace(-1, 1, 10), [300.0, 3000.0]]))
    ends, integrator = integrate(velocity, STARTS, 5.0, 1e-4)
    assert np.abs(ends - exact(STARTS, 5.0)).max() < 2e-3
    # an explicit method with fixed step would need t lambda_max / 2 = 7,500
    assert integrator.evaluations.max() < 1500


def test_a_row_does_not_depend_on_its_neighbours():
    velocity, _ = rayleigh_flow(np.concatenate([np.linspace(-1, 1, 11), [50.0]]))
    together, _ = integrate(velocity, STARTS, 3.0, 1e-3)
    alone = np.concatenate([integrate(velocity, STARTS[i : i + 1], 3.0, 1e-3)[0] for i in range(5)])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_interpolation_is_of_third_order(fraction):
    velocity, exact = rayleigh_flow(np.linspace(-1, 3, 12))
    errors = []
    for tolerance in (1e-5, 1e-7):
        integrator = ChebyshevIntegrator(velocity, STARTS, 1.0, tolerance)
        worst = 0.0
        while len(integrator.live):
            steps = integrator.advance()
            rows = np.arange(len(steps.run))
            between = steps.interpolate(rows, np.full(len(rows), fraction))
            times = (steps.time + fraction * steps.step)[:, None]
            worst = max(worst, np.abs(between - exact(STARTS[steps.run], times)).max(initial=0))
        errors.append(worst)
    assert errors[0] < 3e-2
    assert errors[1] < errors[0] / 10  # 100^(2/3) = 21 in the limit


def test_a_velocity_that_blows_up_ends_as_diverged():
    def velocity(points, runs):
        field = np.zeros_like(points)
        field[runs == 1] = np.nan
        return field

    ends, integrator = integrate(velocity, STARTS[:3], 1.0, 1e-3)
    assert integrator.diverged.tolist() == [False, True, False]
    np.testing.assert_allclose(ends[[0, 2]], STARTS[[0, 2]])
