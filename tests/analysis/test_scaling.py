from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from phasepipe.analysis.counts import tidy_counts
from phasepipe.analysis.extrapolation import extrapolate
from phasepipe.analysis.planted import PlantedScaling
from phasepipe.analysis.scaling import scaling_dataset, scaling_study
from phasepipe.analysis.scaling_text import scaling_report, verdict
from phasepipe.analysis.success import counts_at_budget, success_table
from phasepipe.figures.extrapolation import extrapolation_figure
from phasepipe.figures.scaling import (
    collapse_figure,
    residuals_figure,
    scaling_overview_figure,
    success_curves_figure,
)

PLANTED = PlantedScaling(alpha_inf=7.1, amplitude=-18, form="inverse_log", inverse_nu=0.1, width=1.8)
SIZES = np.array([64, 128, 256, 512, 1024])


@pytest.fixture(scope="module")
def study():
    counts = PLANTED.draw(SIZES, np.linspace(1.5, 6, 12), 60, 8, np.random.default_rng(0))
    return scaling_study(counts, imposed_limit=7.1)


def test_verdict_says_what_cannot_be_told_apart():
    value = PLANTED.alpha_50(SIZES)
    blurred = verdict(extrapolate(SIZES, value, 0.2, imposed_limit=7.1))
    assert blurred.startswith(
        "The data (5 sizes, N = 64 to 1024) cannot tell a + b log N (no limit), c/log(N/N0)"
    )
    assert "and unbounded above" in blurred
    assert "the imposed limit 7.1 is compatible with c/log(N/N0) and c N^-omega." in blurred
    sharp = verdict(extrapolate(SIZES, value, 0.0003, imposed_limit=7.1))
    assert "allow c/log(N/N0) (limit 7.100" in sharp
    assert "disfavour a + b log N and c N^-omega" in sharp
    assert "compatible with c/log(N/N0) only" in sharp
    assert sharp.endswith(".")


def test_verdict_without_a_form_that_fits():
    value = 4 + 0.3 * (-1.0) ** np.arange(5)
    assert verdict(extrapolate(SIZES, value, 0.01)).startswith(
        "None of the forms c/log(N/N0), a + b log N, c N^-omega"
    )


def test_report_holds_the_verdict_and_every_table(study):
    report = scaling_report(study)
    assert verdict(study.alpha_50) in report
    for heading in (
        "Success curves",
        "alpha_50 for N to infinity",
        "width for N to infinity",
        "Data collapse",
    ):
        assert f"## {heading}" in report
    assert "| 1024 | 4.5" in report
    tables = [line for line in report.splitlines() if line.startswith("|")]
    assert len(tables) > 30


def test_dataset_is_labelled_and_complete(study):
    dataset = scaling_dataset(study)
    assert dict(dataset.sizes) == {"N": 5, "form": 5, "collapse": 3}
    assert all({"long_name", "units"} <= set(dataset[name].attrs) for name in dataset.variables)
    fit = dataset.sel(form="inverse_log")
    assert fit["limit_lower"] < 7.1 < fit["limit_upper"]
    assert fit["shape"] == pytest.approx(np.log(64), abs=3)
    assert isinstance(dataset, xr.Dataset)


def test_sizes_without_a_crossing_do_not_stop_the_study():
    low = PLANTED.draw([2048], np.linspace(1.5, 4, 6), 20, 4, np.random.default_rng(1))
    rest = PLANTED.draw(SIZES, np.linspace(1.5, 6, 8), 20, 4, np.random.default_rng(2))
    study = scaling_study(tidy_counts(**{c: [*rest[c], *low[c]] for c in rest}))
    assert study.alpha_50.excluded.tolist() == [2048]
    report = scaling_report(study)
    assert "Not bracketed at N = 2048: P stays below 1/2 up to alpha = 4" in report
    assert isinstance(extrapolation_figure(study.alpha_50, curves=study.curves), Figure)


def test_one_size_is_fitted_and_the_note_says_why_nothing_is_extrapolated():
    study = scaling_study(PLANTED.draw([64], np.linspace(1.5, 4.5, 8), 20, 4, np.random.default_rng(3)))
    assert study.alpha_50 is None
    report = scaling_report(study)
    assert "alpha_50 is known at 1 size; an extrapolation in N needs at least 2" in report
    assert "collapse" not in scaling_dataset(study).dims


def test_figures_draw_without_touching_global_state(study):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    for figure in (
        success_curves_figure(study.curves),
        residuals_figure(study.curves),
        extrapolation_figure(study.alpha_50, curves=study.curves),
        scaling_overview_figure(study.curves, study.alpha_50),
        *(collapse_figure(found) for found in study.collapses),
    ):
        figure.canvas.draw()
        assert len(figure.axes) >= 1
    assert dict(mpl.rcParams) == before


def test_a_million_runs_in_half_a_minute_and_a_gigabyte():
    rng = np.random.default_rng(4)
    alpha = np.linspace(1.5, 6, 10)
    shape = (len(SIZES), len(alpha), 250, 80)
    mean = PLANTED.probability(SIZES[:, None, None], alpha[:, None])
    p = rng.beta(5 * mean, 5 * (1 - mean), size=shape[:3])[..., None]
    recovered = rng.random(shape) < p
    coords = {"N": SIZES, "alpha": alpha}
    dims = ("N", "alpha", "instance", "start")
    outcome = xr.DataArray(np.where(recovered, 1, 3).astype(np.uint8), dims=dims, coords=coords)
    times = xr.DataArray(np.where(recovered, rng.uniform(1, 100, shape), np.nan), dims=dims, coords=coords)
    assert outcome.size == 10**6
    start = time.process_time()
    tracemalloc.start()
    success_table(outcome, times, 100.0)
    counts = counts_at_budget(outcome, times, 100.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()  # what follows knows counts only; tracing it would treble its time
    study = scaling_study(counts, imposed_limit=7.1)
    seconds = time.process_time() - start
    print(f"{seconds:.1f} s, {peak / 2**20:.0f} MiB")
    assert len(study.collapses) == 3
    assert seconds < 30
    assert peak < 2**30
