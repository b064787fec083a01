from __future__ import annotations

import json

import pytest

from phasepipe import NormalisedQuartic, Quartic
from phasepipe.theory import alpha_init, alpha_threshold, phase_point, summary


def test_summary_without_alpha() -> None:
    entries = summary(NormalisedQuartic(1.0))
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
    assert entries["alpha_init"] == pytest.approx(1.1349, abs=1e-4)
    assert entries["alpha_threshold"] == pytest.approx(7.094, abs=1e-3)
    assert entries["alpha_weak_recovery"] == 0.5


def test_summary_says_why_something_is_missing() -> None:
    entries = summary(Quartic(), alpha=0.4)
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
    assert entries["alpha_init"] is None
    assert "unbounded below" in str(entries["alpha_init_note"])
    assert entries["threshold_energy"] is None
    assert "outside the range" in str(entries["threshold_energy_note"])
    assert entries["spectral_start_overlap"] == 0


def test_phase_point_is_the_two_thresholds() -> None:
    loss = NormalisedQuartic(2.0)
    point = phase_point(2.0)
    assert point.alpha_init == alpha_init(loss)
    assert point.alpha_threshold == alpha_threshold(loss)
    assert point.branch == "discontinuous"
