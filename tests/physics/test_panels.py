"""Products through panels against plain ones."""

import numpy as np
import pytest

from phasepipe.physics.panels import Panels


@pytest.mark.parametrize("rows", [1, 7, 32, 33, 100])
@pytest.mark.parametrize("shape", [(40, 70), (300, 750), (750, 300), (384, 1024), (1025, 513)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-12)])
def test_the_product_is_the_plain_one(shape, rows, dtype, tolerance):
    draw = np.random.default_rng(rows)
    matrix, left = draw.standard_normal(shape, dtype), draw.standard_normal((rows, shape[0]), dtype)
    panels, out = Panels(matrix), np.full((rows, shape[1]), np.nan, dtype)
    scratch = np.full(panels.scratch_size(rows), np.nan, dtype)  # what it held does not matter
    panels.multiply(left, out, scratch)
    exact = left.astype(np.float64) @ matrix.astype(np.float64)
    np.testing.assert_allclose(out, exact, rtol=0, atol=tolerance * np.sqrt(shape[0]))


def test_a_transpose_and_a_part_of_an_array_are_taken_as_they_are():
    draw = np.random.default_rng(0)
    matrix, left, out = draw.standard_normal((600, 400)), draw.standard_normal((9, 800)), np.empty((9, 900))
    panels = Panels(matrix.T)
    panels.multiply(left[:, :400], out[:, 100:700], np.empty(panels.scratch_size(9)))
    np.testing.assert_allclose(out[:, 100:700], left[:, :400] @ matrix.T, atol=1e-10)
