from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from phasepipe.errors import UserError
from phasepipe.stages.phase_diagram import draw_phase_diagram


def test_points_are_mapped_on_dask_and_written(tmp_path: Path) -> None:
    flow = tmp_path / "flow.csv"
    flow.write_text("# measured\na,alpha_flow,error\n1,6.6,0.1\n")
    draw_phase_diagram(tmp_path / "new", points=3, flow=flow)
    table = pd.read_csv(tmp_path / "new" / "phase_diagram.csv")
    assert table["a"].tolist() == pytest.approx([0.001, 0.31622777, 100.0])
    assert table["branch"].tolist() == ["continuous", "continuous", "discontinuous"]
    assert table["alpha_threshold"].is_monotonic_increasing
    assert 4 < table["alpha_threshold"][0] < table["alpha_threshold"][2] < 13.80
    for lower, upper in pairwise(
        ("alpha_most_numerous", "alpha_lowest", "alpha_threshold", "alpha_trivialisation")
    ):
        assert (table[lower] < table[upper]).all()
    for extension in ("png", "svg", "pdf"):
        assert (tmp_path / "new" / f"phase_diagram.{extension}").stat().st_size > 1000
    assert "3 / 3 done" in (tmp_path / "new" / "phase_diagram.log").read_text()


def test_a_single_point_is_refused_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is too small to draw a line; use at least 2"):
        draw_phase_diagram(tmp_path, points=1)


def test_a_table_of_measured_thresholds_that_cannot_be_used_is_refused_first(tmp_path: Path) -> None:
    flow = tmp_path / "flow.csv"
    with pytest.raises(UserError, match="cannot be read"):
        draw_phase_diagram(tmp_path, points=3, flow=flow)
    flow.write_text("a,alpha\n1,6.6\n")
    with pytest.raises(UserError, match="lacks the columns alpha_flow, error"):
        draw_phase_diagram(tmp_path, points=3, flow=flow)
