"""Sensing ensembles: same second moments, the promised structure, and streams that stay what they were."""

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.physics.ensembles import Correlated, Gaussian, Orthogonal, Signs, Sphere
from phasepipe.physics.streams import Stream, generator

ENSEMBLES = [Gaussian(), Signs(), Sphere(), Correlated(0.5), Correlated(-0.3), Orthogonal()]


def draw(ensemble, N=60, alpha=3.0, instance=0, **options):
    return pp.Problem.draw(N=N, alpha=alpha, seed=5, instance=instance, ensemble=ensemble, **options)


def test_the_gaussian_stream_is_what_it_always_was():
    X = generator(Stream.SENSING, 5, 60, 180, 0).standard_normal((180, 60), dtype=np.float32)
    np.testing.assert_array_equal(draw(Gaussian()).sensing, X)
    # a golden digest: of the first release, before there were ensembles
    assert pp.Problem.draw(N=20, alpha=2, seed=3, instance=5).former_digest() == 6306282097488318450


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=repr)
@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_moments_labels_and_digest(ensemble, alpha):
    problem = draw(ensemble, N=200, alpha=alpha)
    X = problem.sensing.astype(float)
    assert X.dtype == float
    assert problem.sensing.dtype == np.float32
    assert problem.sensing.flags.c_contiguous
    assert X.shape == (round(200 * alpha), 200)
    assert X.mean() == pytest.approx(0, abs=0.03)
    assert (X**2).mean() == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(problem.labels, X @ problem.signal / np.sqrt(200), atol=1e-9)
    assert draw(ensemble, N=200, alpha=alpha).digest() == problem.digest()
    assert draw(ensemble, N=200, alpha=alpha, instance=1).digest() != problem.digest()


def test_ensembles_differ():
    assert len({int(draw(ensemble).digest()) for ensemble in ENSEMBLES}) == len(ENSEMBLES)


def test_structure_of_each():
    assert set(np.unique(draw(Signs()).sensing)) == {-1, 1}
    np.testing.assert_allclose((draw(Sphere()).sensing.astype(float) ** 2).sum(axis=1), 60, rtol=1e-6)
    tall, wide = (draw(Orthogonal(), alpha=alpha).sensing.astype(float) for alpha in (3.0, 0.5))
    np.testing.assert_allclose(tall.T @ tall, 180 * np.eye(60), atol=0.02)
    np.testing.assert_allclose(wide @ wide.T, 60 * np.eye(30), atol=0.02)


@pytest.mark.parametrize("rho", [0.5, -0.3])
def test_correlation_of_columns_falls_as_promised(rho):
    X = draw(Correlated(rho), N=40, alpha=500).sensing.astype(float)
    expected = rho ** np.abs(np.subtract.outer(np.arange(40), np.arange(40)))
    assert np.abs(X.T @ X / len(X) - expected).max() < 6 / np.sqrt(len(X))


@pytest.mark.parametrize("rho", [1.0, -1.0, np.nan])
def test_correlation_out_of_range_is_refused(rho):
    with pytest.raises(ValueError, match="rho = "):
        Correlated(rho)


def test_noise_is_added_to_the_labels_alone():
    clean, noisy = draw(Gaussian(), alpha=50), draw(Gaussian(), alpha=50, noise=0.2)
    assert clean.digest() == noisy.digest()
    np.testing.assert_array_equal(clean.signal, noisy.signal)
    difference = noisy.labels - clean.labels
    assert difference.std() == pytest.approx(0.2, rel=0.06)
    assert abs(np.corrcoef(difference, clean.labels)[0, 1]) < 0.08


def test_the_good_minimum_lies_where_the_noise_puts_it():
    loss, sigma, distances = pp.NormalisedQuartic(1.0), 0.02, []
    for instance in range(3):
        problem = draw(Gaussian(), N=80, alpha=4, instance=instance, noise=sigma)
        start = pp.starts.warm(problem, 1, seed=0, m0=0.9)
        runs = pp.run_flow(problem, loss, start, t_max=100, recovery_threshold=1 - 1e-6, dtype="float64")
        found = 1 - abs(float(runs.overlap.isel(start=0).dropna("time")[-1]))
        # one Newton step from the signal in the tangent space, where the labels are off by the noise
        X, y = problem.sensing.astype(float), problem.labels
        clean = X @ problem.signal / np.sqrt(80)
        across = X - np.outer(clean, problem.signal) / np.sqrt(80)
        hessian = (across.T * loss.curvature(clean, y)) @ across / 80 - np.eye(80) * (
            clean @ loss.slope(clean, y) / 80
        )
        hessian += np.outer(problem.signal, problem.signal)
        step = np.linalg.solve(hessian, across.T @ loss.slope(clean, y) / np.sqrt(80))
        assert found == pytest.approx(step @ step / 80 / 2, rel=0.1)
        distances.append(found)
    assert 0.5 < np.mean(distances) / (sigma**2 / (2 * (4 - 1))) < 2  # the rule of thumb of Problem.draw


@pytest.mark.parametrize("noise", [-0.1, np.nan, np.inf])
def test_impossible_noise_is_refused(noise):
    with pytest.raises(ValueError, match="noise = "):
        draw(Gaussian(), noise=noise)
