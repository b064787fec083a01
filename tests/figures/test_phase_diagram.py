from __future__ import annotations

import numpy as np
import pytest

from phasepipe.figures.phase_diagram import phase_diagram_figure


def test_branches_meet_at_the_change_and_lines_carry_the_data() -> None:
    a = np.array([0.1, 1.0, 2.0, 10.0])
    initial, threshold = np.array([2.17, 1.13, 1.69, 6.1]), np.array([5.1, 7.1, 8.0, 10.9])
    figure = phase_diagram_figure(a, initial, threshold, branch_change=(1.109, 1.114), quartic_limit=13.8)
    axes = figure.axes[0]
    continuous, discontinuous, _, last, _ = (np.column_stack(line.get_data()) for line in axes.lines)
    np.testing.assert_array_equal(continuous, [[0.1, 2.17], [1.0, 1.13], [1.109, 1.114]])
    np.testing.assert_array_equal(discontinuous, [[1.109, 1.114], [2.0, 1.69], [10.0, 6.1]])
    np.testing.assert_array_equal(last, np.column_stack([a, threshold]))
    assert axes.get_xlabel()
    assert axes.get_ylabel()


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="pass three one-dimensional arrays of equal length"):
        phase_diagram_figure([1.0, 2.0], [1.0], [7.0, 8.0], branch_change=(1.109, 1.114), quartic_limit=13.8)
