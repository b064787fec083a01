"""A wrong argument of the theory is refused by name, at once, and never becomes a silent NaN."""

import numpy as np
import pytest

from phasepipe import NormalisedQuartic, Quartic, theory

LOSS = NormalisedQuartic(1.0)
SAMPLE = np.linspace(-2, 2, 8)

ALPHA = [
    lambda alpha: theory.initial_spectrum(LOSS, alpha),
    lambda alpha: theory.threshold_states(LOSS, alpha),
    lambda alpha: theory.complexity(LOSS, alpha),
    lambda alpha: theory.marginal_minima(LOSS, alpha),
    lambda alpha: theory.spectral_start(theory.optimal_weight, alpha),
    lambda alpha: theory.dynamics(LOSS, alpha, 1.0),
]


@pytest.mark.parametrize("ask", ALPHA)
@pytest.mark.parametrize(
    ("alpha", "error"),
    [("3", TypeError), (None, TypeError), (True, TypeError), (3j, TypeError), ([3], TypeError)]
    + [(value, ValueError) for value in (0, -1, np.nan, np.inf, 10**400)],
)
def test_alpha_is_a_positive_number(ask, alpha, error):
    with pytest.raises(error, match="alpha = ") as refused:
        ask(alpha)
    assert len(str(refused.value)) < 200


ARRAYS = [
    (lambda x: theory.predict(SAMPLE, x, 0.1, LOSS, 4), "yhat"),
    (lambda x: theory.predict(x, SAMPLE, 0.1, LOSS, 4), "labels"),
    (lambda x: theory.flow_response(SAMPLE, x, LOSS, 4), "yhat"),
    (lambda x: theory.bulk_density([0.0], x, SAMPLE, LOSS, 4), "labels"),
    (lambda x: theory.bulk_density(x, SAMPLE, SAMPLE, LOSS, 4), "eigenvalues"),
    (lambda x: theory.bulk_resolvent(1j, x, 4), "curvature"),
    (lambda x: theory.bulk_resolvent(1j, SAMPLE, 4, weights=x), "weights"),
    (lambda x: theory.last_crossing_time(x, SAMPLE), "times"),
    (lambda x: theory.proximal_map(LOSS, x, SAMPLE, 1.0), "h"),
]


@pytest.mark.parametrize(("ask", "name"), ARRAYS)
@pytest.mark.parametrize("values", ["x", None, {}, [[1, 2], [3]], SAMPLE * 1j, np.array(["1"] * 8)])
def test_a_sample_is_an_array_of_real_numbers(ask, name, values):
    if name == "weights" and values is None:
        return  # the default
    with pytest.raises(TypeError, match=rf"{name} (holds|= .* is no array)"):
        ask(values)


@pytest.mark.parametrize("N", [0, -1, np.nan, np.inf, 10**400])
def test_a_dimension_is_positive(N):
    for ask in (
        lambda: theory.predict(SAMPLE, SAMPLE, 0.1, LOSS, N),
        lambda: theory.bulk_density([0.0], SAMPLE, SAMPLE, LOSS, N),
        lambda: theory.bulk_resolvent(1j, SAMPLE, N),
    ):
        with pytest.raises(ValueError, match=r"N = .* is not a positive"):
            ask()


def test_samples_that_do_not_fit_or_are_not_finite_are_named():
    with pytest.raises(ValueError, match=r"labels \(8,\) and yhat \(7,\) do not fit"):
        theory.bulk_density([0.0], SAMPLE, SAMPLE[1:], LOSS, 4)
    with pytest.raises(ValueError, match=r"weights has shape \(7,\); it must be \(8,\)"):
        theory.bulk_density([0.0], SAMPLE, SAMPLE, LOSS, 4, weights=np.ones(7))
    with pytest.raises(ValueError, match="entries that are not finite"):
        theory.bulk_density([np.nan], SAMPLE, SAMPLE, LOSS, 4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kind": ["minima"]}, ValueError, "kind = .* is none of"),
        ({"labels": np.array(["typical"])}, ValueError, "labels = .* is neither"),
        ({"energy": "low"}, TypeError, "energy = 'low' is no number"),
        ({"energy": 1j}, TypeError, "energy = 1j is no number"),
        ({"overlap": None}, TypeError, "overlap = None is not a number"),
        ({"overlap": 10**400}, ValueError, "overlap = 1000"),
    ],
)
def test_a_wrong_question_to_the_landscape_is_refused(change, error, message):
    with pytest.raises(error, match=message):
        theory.complexity(LOSS, 3.0, **change)


class Constant(Quartic):
    def value(self, yhat, y):
        return 0 * yhat * y

    slope = curvature = value
    quartic_weight = None


@pytest.mark.parametrize("loss", [Quartic, None, "quartic"])
@pytest.mark.parametrize(
    "ask",
    [
        theory.alpha_threshold,
        lambda loss: theory.complexity(loss, 3.0),
        lambda loss: theory.predict(SAMPLE, SAMPLE, 0.1, loss, 4),
        lambda loss: theory.proximal_map(loss, 1.0, 1.0, 1.0),
    ],
)
def test_what_is_no_loss_is_refused(ask, loss):
    with pytest.raises(TypeError, match=r"is a class and not an object|lacks value, slope, curvature"):
        ask(loss)


def test_a_constant_loss_has_no_threshold():
    with pytest.raises(ValueError, match="is constant"):
        theory.alpha_threshold(Constant())
