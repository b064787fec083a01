"""Compiled loops against NumPy in float64, and passages through a level against SciPy's cubics."""

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

import phasepipe as pp
from phasepipe.physics import kernels
from phasepipe.physics.arrays import Segments
from phasepipe.physics.numpy_arrays import NumpyInstances
from phasepipe.physics.steps import first_crossings


@pytest.mark.parametrize("rows", [1, 7, 32, 33])
@pytest.mark.parametrize("shape", [(1, 1), (40, 70), (300, 750), (1025, 513)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-14)])
def test_the_product_is_the_plain_one(shape, rows, dtype, tolerance):
    draw = np.random.default_rng(rows)
    matrix, left = draw.standard_normal(shape).astype(dtype), draw.standard_normal((rows, 1030)).astype(dtype)
    across = kernels.columns(np.dtype(dtype))
    panels = np.zeros((-(-shape[1] // across), shape[0], across), dtype)
    kernels.pack(matrix, panels)
    out, tail = np.full((rows, shape[1]), np.nan, dtype), np.full((rows, across), np.nan, dtype)
    kernels.multiply(left, shape[0], panels, out, tail)
    exact = left[:, : shape[0]].astype(np.float64) @ matrix.astype(np.float64)
    np.testing.assert_allclose(out, exact, rtol=0, atol=tolerance * shape[0])


@pytest.mark.parametrize("count", [1, 31, 32, 33, 100, 4096])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-15)])
def test_the_scalar_product_is_the_plain_one(count, dtype, tolerance):
    left, right = np.random.default_rng(count).standard_normal((2, count)).astype(dtype)
    exact = left.astype(np.float64) @ right.astype(np.float64)
    assert kernels.dot(left, right) == pytest.approx(exact, rel=0, abs=tolerance * count)


class Plain:
    """The normalised quartic loss as a user would write it: without a weight, so that NumPy computes it."""

    def __init__(self):
        whole = pp.NormalisedQuartic(0.01)
        self.value, self.slope, self.curvature = whole.value, whole.slope, whole.curvature


def test_gradients_of_many_instances_are_those_of_a_loss_of_ones_own():
    problems = [pp.Problem.draw(20, 3.0, seed=1, instance=i) for i in range(3)]
    points = np.random.default_rng(0).standard_normal((150, 20))
    segments = Segments.of(np.repeat([0, 2], [100, 50]))  # the second instance has left
    found = []
    for loss in (pp.NormalisedQuartic(0.01), Plain()):
        found.append(np.full_like(points, np.nan))
        NumpyInstances(problems, loss, np.dtype(np.float64)).gradient(segments, points, found[-1])
    exact = np.empty_like(points)
    for instance, rows in segments:
        X, y = problems[instance].sensing.astype(np.float64), problems[instance].labels
        yhat = points[rows] @ X.T / np.sqrt(20)
        exact[rows] = (yhat * (yhat**2 - y**2) / (0.01 + y**2)) @ X
    for one in found:
        np.testing.assert_allclose(one, exact, rtol=0, atol=1e-12 * np.abs(exact).max())


def test_the_first_crossing_is_the_smallest_root():
    draw = np.random.default_rng(0)
    count, level = 500, 0.99
    ends = draw.uniform(-1, 0.989, count), draw.uniform(level, 1, count)
    slopes = 3 * draw.standard_normal((2, count))
    slopes[:, :50] = 0
    found = first_crossings(*ends, *slopes, level)
    for step in range(count):
        cubic = CubicHermiteSpline([0, 1], [ends[0][step], ends[1][step]], slopes[:, step])
        assert found[step] == pytest.approx(cubic.solve(level, extrapolate=False)[0], abs=1e-7)
