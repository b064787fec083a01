"""Complexity against references, closed forms and its own derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from phasepipe import NormalisedQuartic, Quartic
from phasepipe.theory import (
    CriticalPoints,
    complexity,
    energy_range,
    landscape_outlier,
    marginal_minima,
    threshold_band,
    threshold_outlier,
    threshold_states,
    trivialisation,
)
from phasepipe.theory.kac_rice import Point, Problem, evaluate
from phasepipe.theory.tilted import Multipliers
from phasepipe.theory.tilted_averages import UNKNOWNS

REPLICA = [(1.0, 4.0, -0.0248), (0.01, 3.0, -0.0480), (0.01, 4.436, -0.0190)]


@pytest.mark.parametrize(("a", "alpha", "expected"), REPLICA)
def test_replica_identity(a: float, alpha: float, expected: float) -> None:
    """Sigma = Phi + x E by adaptive quadrature, against the Kac-Rice equations on a grid at that energy."""
    states = threshold_states(NormalisedQuartic(a), alpha)
    assert states.complexity == pytest.approx(expected, abs=5e-5)
    points = complexity(states.loss, alpha, energy=states.energy, kind="marginal")
    assert points.complexity == pytest.approx(states.complexity, abs=1e-8)
    assert points.slope == pytest.approx(states.x, rel=1e-6)
    assert -points.multipliers.resolvent.real == pytest.approx(states.chi, rel=1e-6)
    assert points.mu == pytest.approx(states.mu, abs=1e-6)
    assert points.signal_response == pytest.approx(states.signal_response, abs=1e-6)
    assert points.multipliers.edge == pytest.approx(0, abs=1e-5)  # nothing has to hold the edge there


@pytest.mark.parametrize(
    ("a", "alpha", "lowest", "most"),
    [
        (1.0, 4.0, 0.220, 0.266),
        (0.01, 3.0, 0.259, 0.318),
        (1.0, 7.094, 0.661, 0.7135),  # 0.7135 reads 0.714 in the audit
        (0.01, 4.436, 0.664, 0.733),
    ],
)
def test_energies_of_marginal_minima(a: float, alpha: float, lowest: float, most: float) -> None:
    found = marginal_minima(NormalisedQuartic(a), alpha)
    assert found.lowest.energy == pytest.approx(lowest, abs=5.5e-4)
    assert found.most_numerous.energy == pytest.approx(most, abs=5.5e-4)
    assert found.lowest.complexity == pytest.approx(0, abs=1e-9)
    assert found.most_numerous.slope == 0
    assert max(found.lowest.error, found.most_numerous.error) < 1e-6


@pytest.mark.parametrize(("a", "most", "lowest"), [(0.01, 3.71, 4.24), (1.0, 5.87, 6.90)])
def test_band_of_thresholds(a: float, most: float, lowest: float) -> None:
    band = threshold_band(NormalisedQuartic(a))
    assert band.alpha_most_numerous == pytest.approx(most, abs=5e-3)
    assert band.alpha_lowest == pytest.approx(lowest, abs=5e-3)
    for points in (band.lowest, band.most_numerous):
        assert points.signal_response == pytest.approx(1, abs=1e-9)
        assert points.marginal


def test_band_where_predictions_jump() -> None:
    """At the threshold of the quartic loss 1 + chi T < 0 for the largest labels: a law with an inner end."""
    band = threshold_band(Quartic())
    chi = -band.lowest.multipliers.resolvent.real
    assert 1 + chi * Quartic().curvature(np.zeros(1), np.array([4.0]))[0] < 0
    assert band.alpha_most_numerous < band.alpha_lowest < 13.80  # below the one-step-RSB value
    nearly = threshold_band(NormalisedQuartic(1e4))
    assert nearly.alpha_lowest == pytest.approx(band.alpha_lowest, rel=1e-3)


@pytest.mark.parametrize(
    ("problem", "point"),
    [
        (
            Problem(
                NormalisedQuartic(0.5),
                True,
                True,
                overlap=0.3,
                conditions=("response", "complexity"),
                released=("alpha", "energy"),
                labels=labels,
            ),
            Point(Multipliers(complex(-0.9, 0), 2.0, 0.4, 0.7, 0.1), 3.0),
        )
        for labels in ("typical", "averaged")
    ]
    + [
        (
            Problem(
                NormalisedQuartic(0.5),
                True,
                False,
                held=True,
                conditions=("complexity",),
                released=("alpha",),
            ),
            Point(Multipliers(complex(-0.9, 0), 2.0, 0.4, 0.7, 0.0, 0.2), 3.0),
        ),
        (
            Problem(NormalisedQuartic(0.5), False, True, overlap=0.3, energy=0.3),
            Point(Multipliers(complex(-0.5, 0.6), 2.0, 0.0, 0.7, 0.1), 3.0),
        ),
    ],
)
def test_derivatives_of_the_equations(problem: Problem, point: Point) -> None:
    exact = evaluate(problem, point, 1).jacobian(problem)
    parameters, step = point.parameters(), 1e-5
    for column, name in enumerate(problem.unknowns):
        residuals = []
        for sign in (1, -1):
            moved = parameters.copy()
            moved[UNKNOWNS.index(name)] += sign * step
            residuals.append(evaluate(problem, Point.of(moved), 1).residuals(problem))
        numerical = (residuals[0] - residuals[1]) / (2 * step)
        assert exact[:, column] == pytest.approx(numerical, abs=1e-7)


@pytest.mark.parametrize("kind", ["marginal", "minima", "critical", "stable"])
@pytest.mark.parametrize(("alpha", "energy"), [(4.0, 0.24), (8.5, 0.9)])
def test_slope_is_the_derivative_by_energy(kind, alpha: float, energy: float) -> None:
    loss, step = NormalisedQuartic(1.0), 1e-3
    low, here, high = (complexity(loss, alpha, energy=energy + k * step, kind=kind) for k in (-1, 0, 1))
    assert (high.complexity - low.complexity) / (2 * step) == pytest.approx(here.slope, abs=2e-4)


def test_maximum_over_energy_overlap_and_labels() -> None:
    loss, alpha = NormalisedQuartic(1.0), 4.0
    most = complexity(loss, alpha)
    assert most.complexity > max(
        complexity(loss, alpha, energy=most.energy + d).complexity for d in (-0.02, 0.02)
    )
    overlapping = [complexity(loss, alpha, overlap=m).complexity for m in (0.05, 0.3, -0.3)]
    assert most.complexity > max(overlapping)
    assert overlapping[1] == pytest.approx(overlapping[2], abs=1e-9)
    assert complexity(loss, alpha, labels="averaged").complexity > most.complexity


def test_minima_leave_the_edge_at_low_energy_and_critical_points_are_minima_there() -> None:
    loss, alpha = NormalisedQuartic(1.0), 4.0
    states = threshold_states(loss, alpha)
    below, above = (complexity(loss, alpha, energy=states.energy + d) for d in (-0.02, 0.02))
    assert not below.marginal
    assert above.marginal
    assert landscape_outlier(below).edge > 0
    marginal = complexity(loss, alpha, energy=below.energy, kind="marginal")
    assert marginal.complexity < below.complexity
    assert complexity(loss, alpha, energy=below.energy, kind="critical").complexity == pytest.approx(
        below.complexity, abs=1e-9
    )
    assert complexity(loss, alpha, energy=above.energy, kind="critical").complexity > above.complexity


def test_stable_minima_are_held_at_the_transition() -> None:
    """They differ from other minima exactly where these have an outlier; the last at the trivialisation."""
    loss = NormalisedQuartic(0.01)
    assert complexity(loss, 3.5, kind="stable").complexity == complexity(loss, 3.5).complexity
    free, held = complexity(loss, 4.5), complexity(loss, 4.5, kind="stable")
    assert free.has_outlier
    assert held.signal_response == pytest.approx(1, abs=1e-9)
    assert 0 < held.complexity < free.complexity
    last = trivialisation(loss)
    assert last.alpha == pytest.approx(4.6424, abs=1e-3)  # our own, for regression
    assert last.complexity == pytest.approx(0, abs=1e-9)
    assert last.alpha > threshold_band(loss).alpha_lowest


class Weighted:
    """Quadratic loss ``f(y) yhat² / 2``: its critical points are the eigenvectors of ``X^T f X``."""

    def weight(self, y):
        return (1 + y * y) / (2 + y * y)

    def value(self, yhat, y):
        return self.weight(y) * yhat * yhat / 2

    def slope(self, yhat, y):
        return self.weight(y) * yhat

    def curvature(self, yhat, y):
        return self.weight(y) + 0 * yhat


def gaussian(function) -> float:
    return float(
        quad(lambda y: np.sqrt(2 / np.pi) * np.exp(-y * y / 2) * function(y), 0, 12, epsabs=1e-12)[0]
    )


def test_quadratic_loss_has_its_eigenvectors_and_no_more() -> None:
    """2 N critical points: Sigma = 0 for every energy (half an eigenvalue) in the bulk."""
    loss, alpha = Weighted(), 3.0
    for energy in (0.6, 1.0, 1.5):
        points = complexity(loss, alpha, energy=energy, kind="critical")
        assert points.complexity == pytest.approx(0, abs=1e-7)
        assert points.slope == pytest.approx(0, abs=1e-7)
        assert points.mu == pytest.approx(2 * energy, rel=1e-9)


def test_minima_of_a_quadratic_loss_are_large_deviations_of_its_lowest_eigenvalue() -> None:
    """Sigma(e) = -(1/2) int of the difference of the two real branches of g, from 2 e to the edge."""
    loss, alpha = Weighted(), 3.0

    def z(g: float) -> float:
        return 1 / g + alpha * gaussian(lambda y: loss.weight(y) / (1 - g * loss.weight(y)))

    def square(g: float) -> float:
        return alpha * gaussian(lambda y: (g * loss.weight(y) / (1 - g * loss.weight(y))) ** 2) - 1

    g_edge = brentq(square, -60.0, -0.01)
    edge = z(g_edge)

    def gap(at: float) -> float:
        near = brentq(lambda g: z(g) - at, g_edge, -1e-3)
        far = brentq(lambda g: z(g) - at, -1e3, g_edge)
        return near - far

    for eigenvalue in (0.6 * edge, 0.9 * edge):
        rate = 0.5 * quad(gap, eigenvalue, edge, epsabs=1e-8)[0]
        found = complexity(loss, alpha, energy=eigenvalue / 2)
        assert found.complexity == pytest.approx(-rate, rel=1e-5)
        assert landscape_outlier(found).edge == pytest.approx(edge - eigenvalue, rel=1e-5)


def test_outlier_continues_that_of_the_threshold_states() -> None:
    loss, alpha = NormalisedQuartic(1.0), 8.0
    states = threshold_states(loss, alpha)
    expected = threshold_outlier(states)
    found = landscape_outlier(complexity(loss, alpha, energy=states.energy, kind="marginal"))
    assert found.edge == 0
    assert found.eigenvalue == pytest.approx(expected.eigenvalue, rel=1e-4)
    assert found.overlap == pytest.approx(expected.overlap, rel=1e-4)


def test_user_loss_and_prefactor(perturbed_amplitude, scaled) -> None:
    plain = complexity(NormalisedQuartic(1.0), 4.0)
    larger = complexity(scaled(NormalisedQuartic(1.0), 5.0), 4.0)
    assert larger.complexity == pytest.approx(plain.complexity, abs=1e-8)
    assert larger.energy == pytest.approx(5 * plain.energy, rel=1e-8)
    own = marginal_minima(perturbed_amplitude(1.0), 2.0)
    assert own.lowest.energy < own.most_numerous.energy


def test_range_of_energies() -> None:
    found = energy_range(NormalisedQuartic(1.0), 4.0)
    assert found.highest is not None
    assert found.lowest.energy < found.most_numerous.energy < found.highest.energy
    assert found.highest.complexity == pytest.approx(0, abs=1e-9)
    assert found.highest.slope < 0 < found.lowest.slope


def test_chi_beyond_one_and_both_branches() -> None:
    """At small alpha the law lives on local minima of the proximal map too, down to where 1 + chi T = 0."""
    points = complexity(NormalisedQuartic(1.0), 2.0)
    chi = -points.multipliers.resolvent.real
    assert chi > 1
    yhat, y = points.measure.sample(100_000, np.random.default_rng(0))
    convexity = 1 + chi * points.loss.curvature(yhat, y)
    assert convexity.min() > 0
    field = yhat + chi * points.loss.slope(yhat, y)
    assert np.mean(field * yhat < 0) > 0.01  # the proximal map is not the global minimum there


@pytest.mark.parametrize(
    "arguments",
    [
        {"alpha": 0.0},
        {"alpha": np.nan},
        {"overlap": 1.0},
        {"kind": "saddle"},
        {"labels": "none"},
        {"energy": np.inf},
    ],
)
def test_bad_arguments_are_refused(arguments) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        complexity(NormalisedQuartic(1.0), **({"alpha": 4.0} | arguments))


def test_odd_loss_is_refused(custom) -> None:
    odd = custom(lambda p, y: (p - y) ** 2 / 2, lambda p, y: p - y, lambda p, y: 1 + 0 * p * y)
    with pytest.raises(ValueError, match="sign"):
        complexity(odd, 3.0)


def test_negative_complexity_is_returned() -> None:
    found = complexity(NormalisedQuartic(1.0), 4.0, energy=0.2)
    assert isinstance(found, CriticalPoints)
    assert float(found) == found.complexity < 0
