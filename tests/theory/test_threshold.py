from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import simpson

from phasepipe import NormalisedQuartic, Quartic
from phasepipe.theory import (
    ConvergenceError,
    ThresholdMeasure,
    alpha_threshold,
    proximal_map,
    threshold_outlier,
    threshold_states,
    threshold_transition,
)


@pytest.mark.parametrize(
    ("loss", "alpha", "digits"), [(Quartic(), 13.80, 5e-3), (NormalisedQuartic(1.0), 7.094, 5e-4)]
)
def test_check_figures(loss, alpha: float, digits: float) -> None:
    states = threshold_transition(loss)
    assert states.alpha == pytest.approx(alpha, abs=digits)
    assert states.relative_error < 1e-6
    assert states.signal_response == pytest.approx(1, abs=1e-8)


def averages_in_the_field(loss, chi: float, x: float):
    """The averages of §7 over (h, y) by Simpson's rule on fixed grids, with brute-force minimisation.

    Shares nothing with the package but the loss. Fields are spaced quadratically: the averages vary fastest
    at h = 0.
    """
    root_h = np.linspace(0, np.sqrt(11.0), 1201)
    h = root_h**2
    labels = np.linspace(0, 7, 281)
    candidates = np.linspace(0, 12, 24001)
    averages = np.empty((labels.size, 5))
    for k, y in enumerate(labels):
        label = np.full_like(candidates, y)
        # Global minimiser for every h: the lower convex hull of l + yhat²/(2 chi) touched by a line of slope
        # h/chi.
        potential = loss.value(candidates, label) + candidates**2 / (2 * chi)
        best = monotone_argmin(potential, candidates, h / chi)
        yhat = candidates[best]
        for _ in range(6):  # polish
            step = (yhat + chi * loss.slope(yhat, y) - h) / np.maximum(
                1 + chi * loss.curvature(yhat, y), 1e-3
            )
            yhat = np.maximum(yhat - np.clip(step, -1e-3, 1e-3), 0)
        V = loss.value(yhat, y) + (yhat - h) ** 2 / (2 * chi)
        exponent = h**2 / 2 + x * V
        density = np.exp(exponent.min() - exponent) * 2 * root_h
        scaled = chi * loss.curvature(yhat, y)
        ratio = scaled / (1 + scaled)
        values = [
            (yhat - h) ** 2,
            ratio**2,
            (y * y - 1) * ratio,
            loss.value(yhat, y),
            yhat * loss.slope(yhat, y),
        ]
        averages[k] = simpson(np.array(values) * density, x=root_h) / simpson(density, x=root_h)
    gaussian = np.sqrt(2 / np.pi) * np.exp(-(labels**2) / 2)
    return simpson(averages.T * gaussian, x=labels)


def monotone_argmin(potential, candidates, slopes):
    """Argmin of ``potential - slope * candidate`` for increasing slopes, in one pass over blocks."""
    return np.concatenate(
        [np.argmin(potential - block[:, None] * candidates, axis=1) for block in np.array_split(slopes, 60)]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("a", "accuracy"), [(0.01, 2e-5), (1.0, 2e-5), (10.0, 2e-3)])
def test_saddle_point_marginality_and_response_in_the_field(a: float, accuracy: float) -> None:
    """At a = 10 the fixed grid cannot follow the inverse square root at the singular line."""
    loss = NormalisedQuartic(a)
    states = threshold_transition(loss)
    moved, square, signal, energy, work = averages_in_the_field(loss, states.chi, states.x)
    assert states.alpha * moved == pytest.approx(states.chi / (states.chi + states.x), rel=2e-5)
    assert states.alpha * square == pytest.approx(1, rel=accuracy)
    assert states.alpha * signal == pytest.approx(-1, rel=10 * accuracy)
    assert states.alpha * energy == pytest.approx(states.energy, rel=2e-5)
    assert states.alpha * work == pytest.approx(states.mu, rel=2e-5)


@pytest.mark.parametrize(
    ("loss", "alpha"),
    [(NormalisedQuartic(1.0), 8.0), (NormalisedQuartic(0.01), 4.0), (NormalisedQuartic(1.0), 3.0)],
)
def test_equations_by_monte_carlo(loss, alpha: float) -> None:
    """Gaussian fields, reweighted by exp(-x V) and normalised label by label."""
    states = threshold_states(loss, alpha)
    generator = np.random.default_rng(5)
    y = np.abs(generator.normal(size=(2000, 1)))
    h = np.abs(generator.normal(size=(2000, 1000)))
    yhat = proximal_map(loss, h, np.broadcast_to(y, h.shape), states.chi)
    V = loss.value(yhat, y) + (yhat - h) ** 2 / (2 * states.chi)
    weight = np.exp(-states.x * (V - V.min(axis=1, keepdims=True)))
    weight /= weight.sum(axis=1, keepdims=True)
    scaled = states.chi * loss.curvature(yhat, y)
    ratio = scaled / (1 + scaled)

    def deviation(values: np.ndarray, expected: float) -> float:
        per_label = (weight * values).sum(axis=1)
        return float(abs(per_label.mean() - expected) / (per_label.std() / np.sqrt(per_label.size)))

    assert deviation((yhat - h) ** 2, states.chi / (states.chi + states.x) / alpha) < 4
    assert deviation(ratio**2, 1 / alpha) < 4
    assert deviation((y**2 - 1) * ratio, -states.signal_response / alpha) < 4
    assert deviation(loss.value(yhat, y), states.energy / alpha) < 4


@pytest.mark.parametrize(
    ("loss", "alpha"), [(Quartic(), 6.0), (NormalisedQuartic(1.0), 2.0), (NormalisedQuartic(0.1), 6.0)]
)
def test_gap_is_the_jump_of_the_force_at_zero_field(loss, alpha: float) -> None:
    """Integration by parts: z(-chi) - mu = (2 alpha / chi) E_y[b(y) p(h = 0 | y)], exactly."""
    states = threshold_states(loss, alpha)
    labels = np.linspace(1e-4, 8, 400)
    start = proximal_map(loss, np.zeros_like(labels), labels, states.chi)
    measure = states.measure
    convexity = 1 + states.chi * loss.curvature(start, labels)
    at_zero = np.array(
        [
            measure.density(np.array([b]), y)[0] / c if b > 0 else 0.0
            for b, y, c in zip(start, labels, convexity, strict=True)
        ]
    )
    gaussian = np.sqrt(2 / np.pi) * np.exp(-(labels**2) / 2)
    jump = 2 * alpha / states.chi * simpson(gaussian * start * at_zero, x=labels)
    assert states.gap == pytest.approx(jump, rel=5e-3, abs=1e-9)
    assert (states.gap > 1e-6) == (loss != NormalisedQuartic(0.1))


def test_prefactor_rescales_the_unknowns(scaled) -> None:
    """Also the generic proximal map against the cubic: the scaled loss hides its class."""
    loss = NormalisedQuartic(10.0)
    plain, larger = threshold_transition(loss), threshold_transition(scaled(loss, 5.0))
    assert larger.alpha == pytest.approx(plain.alpha, rel=1e-7)
    assert larger.chi == pytest.approx(plain.chi / 5, rel=1e-6)
    assert larger.x == pytest.approx(plain.x / 5, rel=1e-6)
    assert larger.energy == pytest.approx(plain.energy * 5, rel=1e-6)


def test_large_a_tends_to_the_quartic_loss() -> None:
    limit = alpha_threshold(Quartic())
    distance = [limit - alpha_threshold(NormalisedQuartic(a)) for a in (100.0, 1000.0)]
    assert distance[0] == pytest.approx(10 * distance[1], rel=0.1)


@pytest.mark.parametrize("eps", [1.0, pytest.param(0.01, marks=pytest.mark.slow)])
def test_user_loss(perturbed_amplitude, eps: float) -> None:
    loss = perturbed_amplitude(eps)
    states = threshold_transition(loss)
    assert threshold_states(loss, 1.02 * states.alpha).signal_response > 1
    assert states.gap == pytest.approx(0, abs=1e-6)


def test_given_alpha_is_returned_and_the_outlier_leaves_above_the_threshold() -> None:
    loss = NormalisedQuartic(1.0)
    below, above = threshold_states(loss, 6.5), threshold_states(loss, 8.0)
    assert below.alpha == pytest.approx(6.5, rel=1e-8)
    assert not below.has_outlier
    assert above.has_outlier
    assert np.isnan(threshold_outlier(below).eigenvalue)
    outlier = threshold_outlier(above)
    assert outlier.eigenvalue < 0
    assert 0 < outlier.overlap < 1


def test_density_is_normalised_and_the_sampler_follows_it() -> None:
    loss = NormalisedQuartic(1.0)
    states = threshold_states(loss, 2.0)  # chi > 1: predictions jump at h = 0
    measure = states.measure
    y = 2.0
    grid = np.linspace(-6, 6, 200_001)
    density = measure.density(grid, y)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-4)
    start = float(proximal_map(loss, np.zeros(1), np.array([y]), states.chi)[0])
    assert start > 0
    assert np.all(density[np.abs(grid) < start] == 0)
    yhat, labels = measure.sample(40_000, np.random.default_rng(3))
    assert np.all(np.abs(yhat) >= proximal_map(loss, np.zeros_like(labels), labels, states.chi) - 1e-12)
    for values, expected in [
        (loss.value(yhat, labels), states.energy / states.alpha),
        (yhat * loss.slope(yhat, labels), states.mu / states.alpha),
    ]:
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(values.size)


def test_samples_are_marginal() -> None:
    """alpha <(chi T / (1 + chi T))²> = 1 from samples, at a chi whose average has a finite variance."""
    loss = NormalisedQuartic(1.0)
    states = threshold_states(loss, 12.0)
    yhat, labels = states.measure.sample(40_000, np.random.default_rng(4))
    scaled = states.chi * loss.curvature(yhat, labels)
    square = (scaled / (1 + scaled)) ** 2
    assert abs(square.mean() - 1 / states.alpha) < 4 * square.std() / np.sqrt(square.size)


def test_average_near_the_singular_line() -> None:
    """At chi = 1 the line y² = (a + y²) / chi comes in from large y; the average is smooth in chi."""
    loss = NormalisedQuartic(1.0)

    def square(chi: float) -> float:
        def averaged(yhat, y):
            ratio = chi * loss.curvature(yhat, y)
            return ((ratio / (1 + ratio)) ** 2)[None]

        estimate = ThresholdMeasure(loss, chi, 3.0).average(averaged)
        assert estimate.error[0] < 1e-7 * estimate.value[0]
        return float(estimate.value[0])

    chis = np.array([0.9, 0.95, 1.0, 1.05, 1.1])
    fit = np.polyfit(chis, [square(chi) for chi in chis], 3)
    assert np.polyval(fit, 1.02) == pytest.approx(square(1.02), rel=1e-3)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_alpha_below_the_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="outside the range"):
        threshold_states(NormalisedQuartic(1.0), alpha)


def test_alpha_below_the_fold_is_refused() -> None:
    loss = NormalisedQuartic(0.001)
    assert threshold_states(loss, 1.7).chi < 1
    with pytest.raises(ValueError, match="outside the range"):
        threshold_states(loss, 1.5)


@pytest.mark.parametrize("alpha", [0.0, -3.0, np.nan, np.inf])
def test_bad_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        threshold_states(NormalisedQuartic(1.0), alpha)


def test_loss_without_a_transition_is_refused(custom) -> None:
    amplitude = custom(
        lambda p, y: (np.abs(p) - np.abs(y)) ** 2 / 2,
        lambda p, y: p - np.where(p < 0, -1, 1) * np.abs(y),
        lambda p, y: 1 + 0 * p * y,
    )
    with pytest.raises((ValueError, ConvergenceError)):
        alpha_threshold(amplitude)


def test_saturating_loss_is_refused_with_the_reason(custom) -> None:
    """A robust loss is concave again far from the label: its proximal map jumps at h > 0."""
    robust = custom(
        lambda p, y: 1 - np.exp(-((p**2 - y**2) ** 2) / 4),
        lambda p, y: p * (p**2 - y**2) * np.exp(-((p**2 - y**2) ** 2) / 4),
        lambda p, y: (3 * p**2 - y**2 - (p * (p**2 - y**2)) ** 2) * np.exp(-((p**2 - y**2) ** 2) / 4),
    )
    with pytest.raises(ValueError, match="jumps at a field h > 0"):
        alpha_threshold(robust)
