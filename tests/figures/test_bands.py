"""Thresholds of the theory in figures: a band, a thin line of the literature, nothing where unknown."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phasepipe.analysis.extrapolation import extrapolate
from phasepipe.figures.bands import LITERATURE, UNSTABLE, Band, Thresholds
from phasepipe.figures.extrapolation import extrapolation_figure
from phasepipe.figures.flow_threshold import flow_threshold_figure
from phasepipe.figures.success import success_figure


@pytest.fixture
def success() -> xr.Dataset:
    p = np.array([[0.1, 0.5, 0.9]])
    values = {"p": p, "lower": p - 0.05, "upper": p + 0.05}
    data = {name: (("N", "alpha"), array) for name, array in values.items()}
    return xr.Dataset(data, {"N": [64], "alpha": [2.0, 3.0, 4.0]})


def test_success_curves_stand_beside_the_band_and_the_line(success: xr.Dataset) -> None:
    axes = success_figure(success, "title", Thresholds(2.85, Band(3.71, 4.24), 4.436)).axes[0]
    (band,) = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((3.71, 4.24))
    words = [text.get_text() for text in axes.texts]
    assert UNSTABLE in words
    assert f"{LITERATURE} = 4.436" in words


@pytest.mark.parametrize(
    "thresholds", [None, Thresholds(np.nan, Band(np.nan, 4.0), np.nan), Thresholds(20, Band(21, 22), 23)]
)
def test_unknown_and_distant_thresholds_are_not_drawn(
    success: xr.Dataset, thresholds: Thresholds | None
) -> None:
    axes = success_figure(success, "title", thresholds).axes[0]
    assert not axes.patches
    assert not axes.texts


def test_the_extrapolation_shows_the_band_at_infinite_size_only() -> None:
    sizes = np.array([64.0, 128.0, 256.0, 512.0])
    study = extrapolate(sizes, 4.0 - 8 / np.log(sizes), 0.01, imposed_limit=4.436, imposed_from="1RSB")
    figure = extrapolation_figure(study, band=Band(3.71, 4.24))
    axes = figure.axes[0]
    band = next(area for area in axes.collections if area.get_label() == UNSTABLE)
    corners = band.get_paths()[0].vertices
    assert corners[:, 0].max() == 0
    assert (corners[:, 1].min(), corners[:, 1].max()) == (3.71, 4.24)
    low, high = axes.get_ylim()
    assert low < 3.71 < 4.436 < high
    assert f"{LITERATURE} (imposed)" in axes.get_legend_handles_labels()[1]


def flow_table(limit: float) -> xr.Dataset:
    response = np.array([[0.95, 1.02, 1.06], [0.92, 1.0, 1.05]])
    cells = {"response": response, "response_limit": response - 0.01}
    data = {name: (("N", "alpha"), values) for name, values in cells.items()}
    data |= {f"{name}_error": (("N", "alpha"), np.full((2, 3), 0.01)) for name in cells}
    for end in ("", "_end"):
        data |= {f"crossing{end}": ("N", [4.0, 4.05]), f"crossing{end}_error": ("N", [0.02, 0.03])}
        data |= {f"alpha_flow{end}": ((), limit), f"alpha_flow{end}_error": ((), 0.04)}
    return xr.Dataset(data, {"N": [128, 256], "alpha": [3.8, 4.0, 4.2]})


@pytest.mark.parametrize("limit", [4.13, np.nan])
def test_the_flow_figure_shows_responses_crossings_and_a_limit_if_there_is_one(limit: float) -> None:
    upper, lower = flow_threshold_figure(flow_table(limit), "title", Band(3.71, 4.24)).axes
    filled = upper.containers[0].lines[0]
    np.testing.assert_allclose(filled.get_ydata(), [0.94, 1.01, 1.05])
    crossings = [float(container.lines[0].get_xdata()[0]) for container in lower.containers]
    assert crossings == ([4.0, 4.05] if np.isnan(limit) else [4.0, 4.05, 4.13])
    assert [tick.get_text() for tick in lower.get_yticklabels()][:2] == ["N = 128", "N = 256"]
