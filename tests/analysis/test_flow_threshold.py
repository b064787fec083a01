"""The threshold that the flow meets: a planted truth is found, and what is not determined is not claimed."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from phasepipe.analysis.flow_threshold import flow_threshold
from phasepipe.analysis.late_time import Cell, late_times
from phasepipe.physics.outcomes import Outcome
from phasepipe.physics.record_times import record_times

TRUTH, SHIFT, SLOPE, DRIFT, EXPONENT = 4.13, -1.2, 0.25, 0.15, 0.8
TIMES = record_times(300.0, 8)
SIZES = (128, 256, 512)


def planted(
    N,
    rng,
    *,
    alphas=(3.8, 4.0, 4.2, 4.4),
    instances=16,
    starts=4,
    omega=0.75,
    noise=1.0,
    times=TIMES,
    slope=SLOPE,
):
    """Runs whose response crosses 1 at ``TRUTH + SHIFT N^-omega`` for t to infinity."""
    alpha = np.round(np.array(alphas) * N) / N
    drift = DRIFT * np.maximum(times, 0.1) ** -EXPONENT
    response = 1 + slope * (alpha[:, None, None, None] - TRUTH - SHIFT * N**-omega) + drift
    shape = (len(alpha), instances, starts)
    each = rng.normal(0, 0.05, shape[:2])[..., None] + rng.normal(0, 0.03, shape)
    margin = np.broadcast_to(response, (*shape, len(times))) - 1 + noise * each[..., None]
    return xr.Dataset(
        {
            "outcome": (("alpha", "instance", "start"), np.full(shape, Outcome.UNDECIDED, np.uint8)),
            "bbp_margin": (("alpha", "instance", "start", "time"), margin),
        },
        {"alpha": alpha, "time": times},
    )


def study(seed=1, sizes=SIZES, **options):
    rng = np.random.default_rng(seed)
    return flow_threshold({N: planted(N, rng, **options) for N in sizes}, rng)


def test_without_noise_the_truth_is_found_in_time_and_in_size():
    found = study(noise=1e-6)
    assert float(found["exponent"]) == pytest.approx(EXPONENT)
    expected = [TRUTH + SHIFT * N**-0.75 for N in SIZES]
    np.testing.assert_allclose(found["crossing"], expected, atol=1e-4)
    # omega = 3/4 lies between the two exponents of the fit
    assert abs(float(found["alpha_flow"]) - TRUTH) < float(found["alpha_flow_size"])
    later = DRIFT * 300**-EXPONENT / SLOPE
    np.testing.assert_allclose(found["crossing"] - found["crossing_end"], later, atol=1e-4)
    assert str(found["note"].item()) == ""


def test_errors_are_those_of_planted_noise():
    studies = [study(seed) for seed in range(30)]
    crossings = np.array([found["crossing_end"].values for found in studies])
    errors = np.array([found["crossing_end_error"].values for found in studies])
    np.testing.assert_allclose(errors.mean(axis=0), crossings.std(axis=0, ddof=1), rtol=0.4)
    pulls = [(float(s["alpha_flow"]) - TRUTH) / float(s["alpha_flow_error"]) for s in studies]
    assert np.mean(np.abs(pulls) < 2) > 0.85


def test_runs_that_ended_keep_their_last_record_and_diverged_ones_do_not_count():
    rng = np.random.default_rng(2)
    runs = {N: planted(N, rng, noise=1e-6) for N in (128, 256)}
    expected = flow_threshold(runs, np.random.default_rng(3))
    for data in runs.values():
        data["bbp_margin"][:, 0, 0, -1] = np.nan
        data["bbp_margin"][:, 1, 1] = 50.0
        data["outcome"][:, 1, 1] = Outcome.DIVERGED
    found = flow_threshold(runs, np.random.default_rng(3))
    assert (found["runs"].sum("alpha") == 4 * (16 * 4 - 1)).all()
    np.testing.assert_allclose(found["crossing"], expected["crossing"], atol=5e-3)


@pytest.mark.parametrize(
    ("alphas", "words"),
    [
        ((3.0, 3.2, 3.4), "S is below 1 up to alpha = 3.398; add larger alphas"),
        ((5.0, 5.2, 5.4), "S exceeds 1 down to alpha = 5; add smaller alphas"),
        ((4.0,), "fewer than two alphas"),
    ],
)
def test_a_crossing_that_is_not_bracketed_is_not_given(alphas, words):
    found = study(alphas=alphas, noise=1e-3)
    assert np.isnan(found["crossing"]).all()
    assert np.isnan(found["alpha_flow"])
    assert np.isnan(found["alpha_flow_error"])
    assert np.isfinite(found["response"]).any()
    note = str(found["note"].item())
    assert words in note
    assert "alpha_flow needs" in note


def test_one_size_gives_a_crossing_and_no_limit():
    found = study(sizes=(128,))
    assert np.isfinite(found["crossing"]).all()
    assert np.isnan(found["alpha_flow"])
    assert "at two or more N" in str(found["note"].item())


def test_a_response_that_does_not_rise_is_refused():
    found = study(slope=0.0)
    assert np.isnan(found["alpha_flow"])
    assert "S does not rise with alpha beyond its errors" in str(found["note"].item())


def test_few_records_leave_the_value_at_the_end():
    found = study(times=record_times(300.0, 1))
    assert np.isnan(found["alpha_flow"])
    assert np.isfinite(found["alpha_flow_end"])
    assert "too few records" in str(found["note"].item())


def test_a_single_instance_has_no_error_and_is_not_used():
    found = study(instances=1)
    assert np.isnan(found["response"]).all()
    assert "two instances" in str(found["note"].item())


def test_the_error_of_a_mean_is_that_of_instances():
    rng = np.random.default_rng(5)
    instances = rng.normal(0, 1, 40)
    cell = Cell(np.repeat(4 * instances[:, None], len(TIMES), axis=1), np.full(40, 4.0))
    found = late_times([cell], TIMES, 4000, rng)
    assert found.end[0, 0] == pytest.approx(instances.mean())
    assert float(found.end_error[0]) == pytest.approx(instances.std(ddof=1) / np.sqrt(40), rel=0.1)
