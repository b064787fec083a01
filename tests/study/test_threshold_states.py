from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "study" / "threshold_states.py"


@pytest.mark.slow
def test_zero_signal_runs_come_near_the_threshold_states(tmp_path: Path) -> None:
    script = runpy.run_path(str(SCRIPT))
    plan, (setting,) = script["QUICK"], script["QUICK"].settings
    row = script["check"](plan, tmp_path).iloc[0]
    runs = script["runs_of"](setting, plan, tmp_path)  # read back, not computed again
    largest = max(runs)
    mean = runs[largest]["energy"].mean("instance").values
    assert np.all(np.diff(mean) < 1e-4)  # the flow descends
    assert mean[-1] == pytest.approx(row["theory"], rel=0.4)
    assert row["lowest_32"] > row["lowest_64"] > row[f"lowest_{largest}"] > 0  # minima become marginal
    assert row["distance_1.0"] < 0.15
    assert len(list(tmp_path.glob("*.png"))) == 1
