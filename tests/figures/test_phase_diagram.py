from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from phasepipe.figures.phase_diagram import phase_diagram_figure

TABLE = pd.DataFrame(
    {
        "a": [0.1, 1.0, 2.0, 10.0],
        "alpha_init": [2.17, 1.13, 1.69, 6.1],
        "alpha_most_numerous": [4.2, 5.9, 6.9, 9.2],
        "alpha_lowest": [4.9, 6.9, 7.9, 10.6],
        "alpha_trivialisation": [5.5, 8.2, 9.6, 13.1],
        "alpha_threshold": [5.1, 7.1, 8.0, 10.9],
    }
)
CHANGE = (1.109, 1.114)


def lines_of(figure):
    """Points of the lines by label."""
    return {line.get_label(): np.column_stack(line.get_data()) for line in figure.axes[0].lines}


def test_branches_meet_at_the_change_and_lines_carry_the_data() -> None:
    figure = phase_diagram_figure(TABLE, branch_change=CHANGE)
    lines = lines_of(figure)
    initial = r"$\alpha_\mathrm{init}$"
    np.testing.assert_array_equal(lines[f"{initial}, continuous"], [[0.1, 2.17], [1.0, 1.13], [1.109, 1.114]])
    np.testing.assert_array_equal(
        lines[f"{initial}, discontinuous"], [[1.109, 1.114], [2.0, 1.69], [10.0, 6.1]]
    )
    for label, column in {
        "those of lowest energy": "alpha_lowest",
        "the most numerous": "alpha_most_numerous",
        "last stable minima": "alpha_trivialisation",
        r"1RSB, $\alpha_\mathrm{threshold}$": "alpha_threshold",
    }.items():
        np.testing.assert_array_equal(lines[label], TABLE[["a", column]])
    axes = figure.axes[0]
    assert axes.get_xlabel()
    assert axes.get_ylabel()


def test_the_band_is_filled_between_its_edges() -> None:
    (band,) = phase_diagram_figure(TABLE, branch_change=CHANGE).axes[0].collections
    assert band.get_label() == "marginal minima unstable"
    corners = {tuple(point) for point in band.get_paths()[0].vertices}
    assert corners >= {(0.1, 4.2), (0.1, 4.9), (10.0, 9.2), (10.0, 10.6)}


def test_measured_thresholds_are_drawn_with_their_errors() -> None:
    flow = pd.DataFrame({"a": [1.0], "alpha_flow": [6.6], "error": [0.1]})
    (bars,) = phase_diagram_figure(TABLE, branch_change=CHANGE, flow=flow).axes[0].containers
    (segment,) = bars.lines[2][0].get_segments()
    np.testing.assert_allclose(segment, [[1.0, 6.5], [1.0, 6.7]])


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="the table of transitions lacks the columns alpha_lowest"):
        phase_diagram_figure(TABLE.drop(columns="alpha_lowest"), branch_change=CHANGE)
    with pytest.raises(ValueError, match="measured thresholds lacks the columns alpha_flow"):
        phase_diagram_figure(TABLE, branch_change=CHANGE, flow=pd.DataFrame({"a": [1.0], "error": [0.1]}))
