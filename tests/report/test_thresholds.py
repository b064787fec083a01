"""Sentences on thresholds: numbers of the tables, and reasons where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phasepipe.report.thresholds import flow_sentences, theory_sentences, threshold_caveat


@pytest.fixture
def theory() -> xr.Dataset:
    values = {
        "alpha_init": 2.8508,
        "alpha_most_numerous": 3.7109,
        "alpha_lowest": 4.2425,
        "alpha_trivialisation": 4.6424,
        "alpha_threshold": 4.4361,
        "alpha_weak_recovery": 0.5,
        "alpha_information_theoretic": 1.0,
        "alpha_approximate_message_passing": 1.13,
    }
    return xr.Dataset(
        values | {"threshold_complexity": ("alpha", [-0.048, np.nan, -0.019])}, {"alpha": [3.0, 3.5, 4.4]}
    )


def test_the_theory_is_a_band_and_the_line_of_the_literature(theory: xr.Dataset) -> None:
    text = " ".join(theory_sentences(theory))
    assert "between alpha = 3.7109 (the most numerous) and 4.2425 (those of lowest energy)" in text
    assert "symmetry breaking (1RSB), is alpha_threshold = 4.4361." in text
    assert "alpha_trivialisation = 4.6424" in text


def test_a_missing_threshold_is_explained(theory: xr.Dataset) -> None:
    theory["alpha_lowest"] = xr.DataArray(np.nan, attrs={"note": "not seen"})
    theory["alpha_threshold"] = xr.DataArray(np.nan)
    text = " ".join(theory_sentences(theory))
    assert "unstable towards the signal is not known: not seen." in text
    assert "alpha_threshold is not known: no reason was stored." in text


@pytest.mark.parametrize(
    ("complexity", "words"),
    [
        (
            [-0.048, np.nan, -0.019],
            "typically do not exist: their complexity per dimension is −0.0480 to −0.0190",
        ),
        ([-0.048, np.nan, np.nan], "is −0.0480 at alpha = 3.000. Take the band"),
        ([-0.048, 0.001, np.nan], "is −0.0480 to 0.0010 at alpha = 3.000 to 3.500 (docs"),
        ([np.nan, np.nan, np.nan], "is not known"),
    ],
)
def test_the_caveat_gives_the_complexity_of_the_states(
    theory: xr.Dataset, complexity: list[float], words: str
) -> None:
    theory["threshold_complexity"] = ("alpha", complexity)
    assert words in threshold_caveat(theory)


def flow(**changes: object) -> xr.Dataset:
    scalars: dict[str, object] = {
        "alpha_flow": 4.13,
        "alpha_flow_error": 0.04,
        "alpha_flow_statistical": 0.03,
        "alpha_flow_size": 0.02,
        "alpha_flow_time": 0.01,
        "alpha_flow_end": 4.12,
        "alpha_flow_end_error": 0.04,
        "note": "",
    }
    rows = {"crossing": ("N", [4.0, np.nan]), "crossing_error": ("N", [0.02, np.nan])}
    return xr.Dataset(scalars | rows | changes, {"N": [128, 256]})


def test_the_threshold_of_the_flow_comes_with_the_parts_of_its_error() -> None:
    first, second = flow_sentences(flow())
    assert first.endswith("at alpha = 4.00 ± 0.02 at N = 128.")
    assert "alpha_flow = 4.13 ± 0.04 (0.03 from statistics, 0.02 from the extrapolation in N and" in second


def test_what_is_not_known_of_the_flow_is_said() -> None:
    sentences = flow_sentences(flow(alpha_flow=np.nan, note="add larger alphas"))
    assert "without extrapolation in time, they do so at alpha = 4.12 ± 0.04" in sentences[1]
    assert sentences[2] == "Notes: add larger alphas."
    sentences = flow_sentences(flow(alpha_flow=np.nan, alpha_flow_end=np.nan))
    assert "is not known" in sentences[1]
