"""Spectral, curvature and threshold starts against the theory of their overlap and energy."""

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.physics.ensembles import Signs
from phasepipe.physics.hessian import tangent_hessian
from phasepipe.physics.spectral_weight import SPECTRAL_REGULARISATION, optimal_weight
from phasepipe.physics.start_kinds import StartKind
from phasepipe.physics.streams import Stream, generator
from phasepipe.theory import spectral_start
from phasepipe.theory.initial import initial_spectrum

LOSS = pp.NormalisedQuartic(a=0.01)


def squared_overlaps(points, problem):
    return (points @ problem.signal / problem.N) ** 2


def test_spectral_start_is_the_top_eigenvector_of_the_dense_matrix():
    problem = pp.Problem.draw(N=50, alpha=2, seed=1)
    start = pp.starts.spectral(problem)
    assert start.shape == (1, 50)
    X = problem.sensing.astype(float)
    matrix = (X.T * optimal_weight(problem.labels, SPECTRAL_REGULARISATION)) @ X
    top = np.linalg.eigh(matrix)[1][:, -1]
    assert abs(start[0] @ top) == pytest.approx(np.sqrt(50), rel=1e-9)
    assert start[0, np.argmax(np.abs(start))] > 0
    np.testing.assert_array_equal(start, pp.starts.spectral(problem))


@pytest.mark.parametrize("alpha", [1.5, 3.0])
def test_overlap_of_spectral_starts_is_the_predicted_one(alpha):
    problems = [pp.Problem.draw(N=512, alpha=alpha, seed=2, instance=i) for i in range(12)]
    found = [squared_overlaps(pp.starts.spectral(problem), problem)[0] for problem in problems]
    predicted = spectral_start(lambda y: optimal_weight(y, SPECTRAL_REGULARISATION), alpha).overlap
    assert np.mean(found) == pytest.approx(predicted, abs=4 * np.std(found) / np.sqrt(12) + 0.01)
    assert predicted == pytest.approx(spectral_start(optimal_weight, alpha).overlap, rel=2e-3)


def test_curvature_start_is_the_lowest_direction_at_its_random_point():
    problem = pp.Problem.draw(N=30, alpha=3, seed=1)
    starts = pp.starts.curvature(problem, LOSS, 3, seed=4)
    np.testing.assert_allclose((starts**2).sum(axis=1), 30)
    np.testing.assert_allclose(starts[1:2], pp.starts.curvature(problem, LOSS, 1, seed=4, first=1), atol=1e-9)
    key = (problem.N, problem.M, problem.instance, int(StartKind.CURVATURE))
    for number, start in enumerate(starts):
        point = generator(Stream.START, 4, *key, number).standard_normal(30)
        point *= np.sqrt(30) / np.linalg.norm(point)
        matrix, basis = tangent_hessian(problem, LOSS, point)
        dense = matrix + np.tril(matrix, -1).T
        direction = basis.coordinates(start[None])[0] / np.sqrt(30)
        assert direction @ dense @ direction == pytest.approx(np.linalg.eigvalsh(dense)[0], rel=1e-9)
        assert abs(start @ point) < 1e-9
        assert start[np.argmax(np.abs(start))] > 0


@pytest.mark.parametrize(("a", "alpha"), [(0.01, 5.0), (1.0, 3.0)])
def test_overlap_of_curvature_starts_is_the_predicted_one(a, alpha):
    loss = pp.NormalisedQuartic(a)
    problems = [pp.Problem.draw(N=512, alpha=alpha, seed=3, instance=i) for i in range(8)]
    found = [squared_overlaps(pp.starts.curvature(p, loss, 2, seed=3), p).mean() for p in problems]
    predicted = initial_spectrum(loss, alpha).overlap
    assert np.mean(found) == pytest.approx(predicted, abs=4 * np.std(found) / np.sqrt(8) + 0.02)


def test_threshold_starts_are_stationary_but_for_the_force_along_the_signal():
    problem = pp.Problem.draw(N=96, alpha=3, seed=1)
    points = pp.starts.threshold(problem, LOSS, 4, seed=2, preparation=100)
    np.testing.assert_allclose(squared_overlaps(points, problem), 0, atol=1e-20)
    X = problem.sensing.astype(float)
    for w in points:
        slope = LOSS.slope(X @ w / np.sqrt(96), problem.labels)
        gradient = X.T @ slope / np.sqrt(96)
        gradient -= (gradient @ w / 96) * w
        across = gradient - (gradient @ problem.signal / 96) * problem.signal
        assert np.linalg.norm(across) / np.sqrt(96) < 0.02
        np.testing.assert_allclose(
            gradient @ problem.signal / np.sqrt(96), slope @ problem.labels / np.sqrt(96), rtol=1e-9
        )


def test_threshold_starts_are_the_control_without_signal_in_one_dimension_less():
    def loss_of(points, problem):
        yhat = points @ problem.sensing.T / np.sqrt(problem.N)
        return LOSS.value(yhat, problem.labels).sum(axis=1).mean()

    planted, control = [], []
    for instance in range(40):
        problem = pp.Problem.draw(N=48, alpha=4, seed=5, instance=instance)
        planted.append(loss_of(pp.starts.threshold(problem, LOSS, 4, seed=5, preparation=20), problem))
        problem = pp.Problem.draw(N=47, alpha=192 / 47, seed=6, instance=instance, zero_signal=True)
        runs = pp.run_flow(problem, LOSS, pp.starts.random(problem, 4, seed=6), t_max=20)
        control.append(47 * float(runs.loss.min("time").mean()))
    error = np.hypot(np.std(planted), np.std(control)) / np.sqrt(40)
    assert abs(np.mean(planted) - np.mean(control)) < 4 * error
    assert error < 0.05 * np.mean(control)


@pytest.mark.parametrize("options", [{"zero_signal": True}, {"ensemble": Signs()}])
def test_threshold_starts_need_a_gaussian_problem_with_a_signal(options):
    problem = pp.Problem.draw(N=16, alpha=3, seed=1, **options)
    with pytest.raises(ValueError, match="Gaussian problem with a signal"):
        pp.starts.threshold(problem, LOSS, 1, seed=2, preparation=1)
