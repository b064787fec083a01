"""Mistakes in arguments are one sentence that names argument and value, never a fate."""

from dataclasses import replace

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.physics.loss_check import check_loss

LOSS = pp.NormalisedQuartic(a=1.0)
PROBLEM = pp.Problem.draw(N=16, alpha=2, seed=1)
START = pp.starts.random(PROBLEM, 1, seed=1)

FLOW = [
    ({"w0": np.zeros(16)}, ValueError, r"start 0 of w0 has norm 0; .* sqrt\(N\) = 4"),
    ({"w0": np.full(16, np.nan)}, ValueError, "start 0 of w0 is not finite"),
    ({"w0": np.stack([START[0], np.full(16, np.inf)])}, ValueError, "start 1 of w0 is not finite"),
    ({"w0": START * 1e20}, ValueError, r"start 0 of w0 has norm 4e\+20"),
    ({"w0": START * 1e300}, ValueError, r"start 0 of w0 has norm"),
    ({"w0": START[:, :5]}, ValueError, r"w0 has shape \(1, 5\)"),
    ({"w0": START[None]}, ValueError, r"w0 has shape \(1, 1, 16\)"),
    ({"w0": START.astype(complex)}, TypeError, "w0 holds complex128"),
    ({"w0": np.ones(16, bool)}, TypeError, "w0 holds bool"),
    (
        {"dtype": np.float32, "relative_tolerance": 1e-6},
        ValueError,
        "relative_tolerance = 1e-06 lies outside",
    ),
    ({"dtype": "float16"}, ValueError, "dtype = 'float16' will not do"),
    ({"dtype": np.float16}, ValueError, "dtype = .*float16.* will not do"),
    ({"dtype": "single precision"}, ValueError, "dtype = 'single precision' will not do"),
    ({"dtype": None}, ValueError, "dtype = None will not do"),
    ({"relative_tolerance": -1e-2}, ValueError, r"relative_tolerance = -0\.01 lies outside"),
    ({"relative_tolerance": np.nan}, ValueError, "relative_tolerance = nan"),
    ({"relative_tolerance": True}, TypeError, "relative_tolerance = True is no number"),
    ({"recovery_threshold": 0}, ValueError, r"recovery_threshold = 0 lies outside \(0, 1\)"),
    ({"recovery_threshold": 1.0}, ValueError, r"recovery_threshold = 1\.0 lies outside \(0, 1\)"),
    ({"recovery_threshold": np.nan}, ValueError, "recovery_threshold = nan"),
    ({"gradient_tolerance": -1e-3}, ValueError, r"gradient_tolerance = -0\.001 is not a positive finite"),
    ({"gradient_tolerance": np.inf}, ValueError, "gradient_tolerance = inf"),
    ({"t_max": 0}, ValueError, "t_max = 0 is not a positive finite number"),
    ({"t_max": -1.0}, ValueError, "t_max = -1"),
    ({"t_max": np.nan}, ValueError, "t_max = nan"),
    ({"t_max": np.inf}, ValueError, "t_max = inf"),
    ({"t_max": "100"}, TypeError, "t_max = '100' is no number"),
    ({"t_max": True}, TypeError, "t_max = True is no number"),
    ({"records_per_decade": 8.0}, TypeError, r"records_per_decade = 8\.0 is no integer"),
    ({"records_per_decade": 0}, ValueError, "records_per_decade = 0 is too small"),
    ({"loss": pp.NormalisedQuartic}, TypeError, "NormalisedQuartic is a class and not an object"),
    ({"problem": None}, TypeError, "problem = None is no Problem"),
    ({"w0": [[1.0, 2.0], [3.0]]}, TypeError, "w0 = .* is no array; its rows differ"),
    ({"t_max": 10**400}, ValueError, "t_max = 1000.* is not a positive finite number"),
    ({"records_per_decade": 10**9}, ValueError, "records_per_decade = 1000000000 is too large"),
    ({"snapshots": "no"}, TypeError, "snapshots = 'no' is neither True nor False"),
    ({"device": None}, ValueError, "device = None will not do"),
]


@pytest.mark.parametrize(("change", "error", "message"), FLOW)
def test_a_mistake_in_an_argument_of_a_flow_is_a_sentence(change, error, message):
    with pytest.raises(error, match=message) as refusal:
        pp.run_flow(**{"problem": PROBLEM, "loss": LOSS, "w0": START, "t_max": 1.0} | change)
    assert "\n" not in str(refusal.value)


def test_a_learning_rate_that_never_arrives_is_refused():
    with pytest.raises(ValueError, match="learning_rate = 1e-300 needs more than 1e"):
        pp.run_descent(PROBLEM, LOSS, START, learning_rate=1e-300, t_max=1)


@pytest.mark.parametrize("rate", [0, -1e-3, np.inf, np.nan])
def test_a_learning_rate_that_takes_no_steps_is_refused(rate):
    with pytest.raises(ValueError, match=r"learning_rate = .* is not a positive finite number"):
        pp.run_descent(PROBLEM, LOSS, START, learning_rate=rate, t_max=1)


DRAWS = [
    ({"seed": None}, TypeError, "seed = None is no integer"),
    ({"seed": -1}, ValueError, "seed = -1 is too small"),
    ({"seed": 1.5}, TypeError, r"seed = 1\.5 is no integer"),
    ({"seed": True}, TypeError, "seed = True is no integer"),
    ({"N": 16.0}, TypeError, r"N = 16\.0 is no integer"),
    ({"N": 1}, ValueError, "N = 1 is too small"),
    ({"instance": 2.0}, TypeError, r"instance = 2\.0 is no integer"),
    ({"instance": -1}, ValueError, "instance = -1"),
    ({"alpha": 0.01}, ValueError, "gives M = 0 measurements"),
    ({"alpha": 0}, ValueError, "alpha = 0 is not a positive"),
    ({"alpha": np.nan}, ValueError, "alpha = nan"),
    ({"alpha": True}, TypeError, "alpha = True is no number"),
    ({"noise": -0.1}, ValueError, r"noise = -0\.1 is negative"),
    ({"noise": np.inf}, ValueError, "noise = inf is not finite"),
    ({"noise": 1e300}, ValueError, r"noise = 1e\+300 is negative or above 1000"),
    ({"noise": 10**400}, ValueError, "noise = 1000.* is not finite"),
    ({"N": 10**30}, ValueError, "N = 1000.* is too large; take an integer of at most 1000000"),
    ({"alpha": 1e300}, ValueError, r"alpha = 1e\+300 needs a sensing matrix of .* GB"),
    ({"zero_signal": "no"}, TypeError, "zero_signal = 'no' is neither True nor False"),
    ({"ensemble": "signs"}, TypeError, "ensemble = 'signs' is no object of phasepipe.physics.ensembles"),
]


@pytest.mark.parametrize(("change", "error", "message"), DRAWS)
def test_a_mistake_in_an_instance_is_a_sentence(change, error, message):
    with pytest.raises(error, match=message):
        pp.Problem.draw(**{"N": 16, "alpha": 2.0, "seed": 0} | change)


@pytest.mark.parametrize("key", ["count", "seed", "first"])
@pytest.mark.parametrize("value", [2.0, None, True, "3"])
def test_what_numbers_a_start_is_an_integer(key, value):
    with pytest.raises(TypeError, match=f"{key} = {value!r} is no integer"):
        pp.starts.random(PROBLEM, **{"count": 2, "seed": 0} | {key: value})


@pytest.mark.parametrize(
    "call",
    [
        lambda problem: pp.starts.random(problem, 1, seed=0),
        lambda problem: pp.starts.warm(problem, 1, seed=0, m0=0.1),
        lambda problem: pp.starts.curvature(problem, LOSS, 1, seed=0),
        lambda problem: pp.starts.threshold(problem, LOSS, 1, seed=0, preparation=1),
        lambda problem: pp.starts.spectral(problem),
        lambda problem: pp.spectrum(problem, LOSS, START),
    ],
)
@pytest.mark.parametrize("value", [None, "problem", pp.Problem, np.ones((32, 16))])
def test_what_is_no_problem_is_refused(call, value):
    with pytest.raises(TypeError, match=r"problem = .* is no Problem; draw one"):
        call(value)


PARTS = [
    ({"labels": np.full(32, np.nan)}, ValueError, "labels has entries that are not finite"),
    ({"sensing": np.full((32, 16), np.inf, np.float32)}, ValueError, "sensing has entries that are not"),
    ({"signal": np.full(16, 1j)}, TypeError, "signal = .* is no NumPy array of real numbers"),
    ({"labels": np.full(32, "1")}, TypeError, "labels = .* is no NumPy array of real numbers"),
    ({"sensing": PROBLEM.sensing.tolist()}, TypeError, "sensing = .* is no NumPy array"),
    ({"sensing": np.ones((0, 16)), "labels": np.ones(0)}, ValueError, "do not fit; .* not empty"),
    ({"seed": None}, TypeError, "seed = None is no integer"),
    ({"noise": "much"}, TypeError, "noise = 'much' is no number"),
]


@pytest.mark.parametrize(("change", "error", "message"), PARTS)
def test_a_problem_is_made_of_finite_real_numbers(change, error, message):
    with pytest.raises(error, match=message):
        replace(PROBLEM, **change)


SPECTRA = [
    ({"w": None}, TypeError, "w holds object"),
    ({"w": START[:0]}, ValueError, r"w has shape \(0, 16\)"),
    ({"w": START.astype(complex)}, TypeError, "w holds complex128"),
    ({"k": "2"}, TypeError, "k = '2' is no integer"),
    ({"k": 10**400}, ValueError, r"k = 1000.* is out of range; the tangent space has 1 to 15"),
    ({"full": "no"}, TypeError, "full = 'no' is neither True nor False"),
]


@pytest.mark.parametrize(("change", "error", "message"), SPECTRA)
def test_a_mistake_in_an_argument_of_a_spectrum_is_a_sentence(change, error, message):
    with pytest.raises(error, match=message):
        pp.spectrum(**{"problem": PROBLEM, "loss": LOSS, "w": START} | change)


def test_predictions_are_of_real_points():
    with pytest.raises(TypeError, match="w holds complex128"):
        PROBLEM.predictions(START * 1j)


def test_so_many_starts_are_a_mistake():
    with pytest.raises(
        ValueError, match="count = 1000000000 is too large; take an integer of at most 100000"
    ):
        pp.starts.random(PROBLEM, 10**9, seed=0)


@pytest.mark.parametrize("m0", [1.0, -0.1, np.nan, np.inf])
def test_an_overlap_of_a_start_lies_in_its_range(m0):
    with pytest.raises(ValueError, match="m0 = "):
        pp.starts.warm(PROBLEM, 2, seed=0, m0=m0)


def test_integers_and_numbers_of_numpy_are_as_good():
    problem = pp.Problem.draw(np.int64(16), np.float32(2), np.uint8(1), np.int32(0))
    assert problem.digest() == PROBLEM.digest()
    runs = pp.run_flow(problem, LOSS, START, t_max=np.float64(1), dtype=np.float64)
    assert (runs.outcome != pp.Outcome.PENDING).all()


def test_a_start_off_the_sphere_by_a_factor_is_rescaled():
    near, unit = (pp.run_flow(PROBLEM, LOSS, START / by, t_max=1) for by in (1, 4))
    np.testing.assert_allclose(near.overlap, unit.overlap, atol=1e-6)


def test_a_run_near_the_signal_is_never_called_trapped():
    problem = pp.Problem.draw(N=64, alpha=4, seed=3)
    w0 = pp.starts.warm(problem, 8, seed=3, m0=0.995)
    runs = pp.run_flow(
        problem, LOSS, w0, t_max=5, recovery_threshold=0.999999, gradient_tolerance=0.1, dtype="float64"
    )
    assert not (runs.outcome == pp.Outcome.TRAPPED).any()


class Absolute:
    """A loss of one's own, |yhat² - y²| smoothed: right, and not a polynomial."""

    def value(self, yhat, y):
        return np.sqrt(1 + (yhat**2 - y**2) ** 2) - 1

    def slope(self, yhat, y):
        excess = yhat**2 - y**2
        return 2 * yhat * excess / np.sqrt(1 + excess**2)

    def curvature(self, yhat, y):
        excess = yhat**2 - y**2
        root = np.sqrt(1 + excess**2)
        return 2 * excess / root + 4 * yhat**2 / root**3


def changed(**methods):
    """``Absolute`` with other methods, functions of (yhat, y)."""
    loss = Absolute()
    for name, method in methods.items():
        setattr(loss, name, method)
    return loss


WRONG = [
    (changed(slope=lambda *_: None), TypeError, "slope.* returns nothing; is a return missing"),
    (changed(value=lambda yhat, _: np.sum(yhat)), TypeError, r"value has shape \(\)"),
    (changed(value=lambda yhat: yhat), TypeError, r"value\(yhat, y\) fails with TypeError"),
    (changed(value=lambda yhat, y: yhat > y), TypeError, "value is bool"),
    (changed(value=lambda yhat, _: yhat + 0j), TypeError, "value is complex"),
    (changed(slope=lambda yhat, _: yhat * np.nan), ValueError, "slope.* is not finite"),
    (
        changed(slope=lambda yhat, y: -Absolute().slope(yhat, y)),
        ValueError,
        "slope .* derivative of",
    ),
    (changed(curvature=lambda yhat, _: yhat), ValueError, "curvature .* derivative of its slope"),
    (changed(curvature=None), TypeError, "lacks curvature"),
    (Absolute, TypeError, "Absolute is a class and not an object"),
    (np.square, TypeError, "lacks value, slope, curvature"),
    (None, TypeError, "loss None: it lacks"),
]


@pytest.mark.parametrize(("loss", "error", "message"), WRONG)
def test_a_wrong_loss_is_refused_before_anything_runs(loss, error, message):
    for call in (
        lambda: check_loss(loss),
        lambda: pp.run_flow(PROBLEM, loss, START, t_max=1),
        lambda: pp.run_descent(PROBLEM, loss, START, 1e-3, t_max=1),
        lambda: pp.spectrum(PROBLEM, loss, START),
    ):
        with pytest.raises(error, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)


def test_a_right_loss_of_ones_own_runs():
    assert (pp.run_flow(PROBLEM, Absolute(), START, t_max=1).outcome != pp.Outcome.DIVERGED).all()


def test_a_kink_is_forgiven():
    class Kinked(Absolute):
        def slope(self, yhat, y):
            return np.where(np.abs(yhat) < 1e-3, 0.0, Absolute.slope(self, yhat, y))

    check_loss(Kinked())


@pytest.mark.parametrize("a", [1e6, 1e-15])
def test_the_initial_transition_says_where_it_is_computed(a):
    with pytest.raises(ValueError, match=r"a = .* lies outside"):
        pp.theory.alpha_init(pp.NormalisedQuartic(a))


def test_a_problem_of_arrays_that_do_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"do not fit; their shapes must be \(M, N\), \(N,\) and \(M,\)"):
        pp.Problem(PROBLEM.sensing, PROBLEM.signal, PROBLEM.labels[:-1], seed=0, instance=0)


def test_predictions_are_of_any_number_of_points():
    w = np.stack([START, -START])
    yhat = PROBLEM.predictions(w)
    assert yhat.shape == (2, 1, PROBLEM.M)
    np.testing.assert_allclose(yhat[0, 0], PROBLEM.sensing.astype(float) @ START[0] / 4)
    np.testing.assert_allclose(PROBLEM.predictions(PROBLEM.signal), PROBLEM.labels, atol=1e-12)
    with pytest.raises(ValueError, match="last dimension must be N = 16"):
        PROBLEM.predictions(np.ones(5))


def test_outcomes_have_names():
    runs = pp.run_flow(PROBLEM, LOSS, np.stack([PROBLEM.signal, START[0]]), t_max=0.01)
    assert (runs.outcome == pp.Outcome.RECOVERED).values.tolist() == [True, False]
    names = pp.Outcome.names(runs.outcome)
    assert names.dims == ("start",)
    assert names.values.tolist() == ["recovered", "undecided"]
    assert pp.Outcome.names([2, 4]).tolist() == ["trapped", "diverged"]
    with pytest.raises(ValueError, match="other than"):
        pp.Outcome.names([7])
