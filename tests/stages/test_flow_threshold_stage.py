"""The stage that finds the threshold of the flow, on a small sweep without a signal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import phasepipe as pp
from phasepipe.report.page import write_report
from phasepipe.results.verify import verify
from phasepipe.stages.fate import relate_fates
from phasepipe.stages.flow_threshold import SignalError, find_flow_threshold
from phasepipe.stages.runs import run_descent
from phasepipe.stages.scaling import study_scaling
from phasepipe.stages.success import estimate_success
from phasepipe.stages.success_figures import draw_success
from phasepipe.stages.theory import predict_thresholds
from phasepipe.store.folder import SweepFolder
from phasepipe.variables import FLOW_THRESHOLD


@pytest.fixture(scope="module")
def without_signal(tmp_path_factory, make_finished):
    sweep = make_finished(
        zero_signal=True,
        loss={"kind": "normalised_quartic", "a": 0.01},
        starts=[{"kind": "random", "count": 3}],
        alpha=[2.5, 4.0, 5.5],
        instances=8,
        records_per_decade=8,
        snapshots={"instances": 0, "starts": 0},
    )
    folder = SweepFolder(tmp_path_factory.mktemp("without-signal") / "small")
    run_descent(sweep, folder, 1)
    predict_thresholds(sweep, folder)
    find_flow_threshold(sweep, folder)
    return sweep, folder


def test_the_table_is_that_of_the_registry(without_signal):
    table = pp.open_sweep(without_signal[1].root)["flow_threshold"].to_dataset().load()
    assert set(table.data_vars) == set(FLOW_THRESHOLD)
    for name, declared in FLOW_THRESHOLD.items():
        assert set(table[name].dims) == set(declared.dims), name
        assert (table[name].attrs["long_name"], table[name].attrs["units"]) == declared[2:], name
        if declared.dtype != "str":
            assert table[name].dtype == np.dtype(declared.dtype), name


def test_the_response_is_that_of_the_last_records(without_signal):
    tree = pp.open_sweep(without_signal[1].root)
    table, runs = tree["flow_threshold"].ds.load(), tree["runs/N24"].ds.load()
    margin = runs["bbp_margin"].astype(float)
    last = margin.notnull().cumsum("time").argmax("time")  # a run that ended keeps its last record
    expected = 1 + margin.isel(time=last).mean(("instance", "start"))
    np.testing.assert_allclose(table["response"].sel(N=24, alpha=runs["alpha"]), expected, rtol=1e-6)
    assert (np.diff(table["response"].sel(N=24).dropna("alpha")) > 0).all()


def test_figure_numbers_report_and_verification_know_it(without_signal):
    sweep, folder = without_signal
    numbers = pd.read_csv(folder.root / "figures" / "flow-threshold.csv")
    assert len(numbers) == 6
    for stage in (estimate_success, study_scaling, relate_fates, draw_success):
        stage(sweep, folder)
    write_report(sweep, folder)
    page = (folder.root / "report.html").read_text()
    assert "The threshold that gradient flow meets" in page
    assert 'id="flow-threshold"' in page
    assert not verify(folder, sample=0, repair=False)["flow_threshold"].damaged


def test_a_sweep_with_a_signal_is_refused(make_finished, tmp_path):
    with pytest.raises(SignalError, match="has a signal; the threshold of the flow needs zero_signal"):
        find_flow_threshold(make_finished(), SweepFolder(tmp_path))
