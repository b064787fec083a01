"""Planted truths are what they say, and misses are counted as by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from phasepipe.analysis.coverage import TRUTH, summary
from phasepipe.analysis.planted import POPULATIONS


def test_summary_by_hand():
    intervals = pd.DataFrame(
        {
            "quantity": "width",
            "N": [64, 64, 128, 128],
            "truth": 1.0,
            "value": [1.0, 0.5, 1.5, 1.2],
            "lower": [0.9, 0.4, 1.1, 0.9],
            "upper": [1.1, 0.6, 1.9, np.inf],
        }
    )
    row = summary(intervals).iloc[0]
    assert (row["coverage"], row["below"], row["above"], row["open"]) == (50, 25, 25, 25)
    assert row["by N"] == "50.0 to 50.0"


@pytest.mark.parametrize("kind", POPULATIONS)
def test_planted_quartiles_and_probabilities_are_those_of_many_runs(kind):
    truth = replace(TRUTH, population=POPULATIONS[kind])
    middle, width = truth.alpha_50(128), truth.quartile_distance(128)
    assert truth.probability(128, middle) == pytest.approx(0.5, abs=2e-3)
    alphas = middle + width * np.array([-0.8, -0.3, 0.0, 0.4, 1.0])
    drawn = truth.draw_counts([128], alphas, 4000, 8, np.random.default_rng(0))[0].mean(-1) / 8
    assert drawn == pytest.approx(truth.probability(128, alphas), abs=0.025)
    lower, upper = (np.interp(share, *curve(truth, middle, width)) for share in (0.25, 0.75))
    assert upper - lower == pytest.approx(float(width), rel=0.02)


def curve(truth, middle, width):
    alphas = middle + width * np.linspace(-3, 3, 2001)
    return truth.probability(128, alphas), alphas
