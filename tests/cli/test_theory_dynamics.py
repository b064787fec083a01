"""``phasepipe theory --dynamics``: the numbers of ``theory.dynamics``, as a table and as JSON."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import phasepipe as pp
from phasepipe.cli import app
from phasepipe.theory.dynamics_summary import QUANTITIES, dynamics_summary

SHORT = ["theory", "--a", "1", "--alpha", "1.5", "--dynamics", "--t-max", "0.6", "--samples", "1024"]


@pytest.fixture(scope="module")
def found():
    return pp.theory.dynamics(pp.NormalisedQuartic(1.0), 1.5, 0.6, samples=1024, accuracy=0.03)


def test_json_holds_the_numbers_of_the_library(found):
    done = CliRunner().invoke(app, [*SHORT, "--json"])
    assert done.exit_code == 0, done.output
    entries = json.loads(done.stdout)
    assert entries["t_bbp"] == pytest.approx(float(found["t_bbp"]))
    assert entries["t_bbp"] == pytest.approx(0.46, abs=0.08)
    assert [row["time"] for row in entries["times"]] == pytest.approx(
        [0, 0.01875, 0.06, 0.1875, 0.6], rel=1e-3
    )
    first, last = entries["times"][0], entries["times"][-1]
    assert first["correlation"] == first["amplification"] == pytest.approx(1)
    assert last["correlation"] == pytest.approx(float(found["correlation"][-1, 0]))
    assert last["outlier"] is None
    assert all(
        row[f"{name}_error"] is None or row[f"{name}_error"] >= 0
        for row in entries["times"]
        for name in QUANTITIES
    )
    assert not done.stderr


def test_an_accuracy_that_is_not_reached_is_said_beside_the_json():
    options = ["--t-max", "0.05", "--samples", "256", "--accuracy", "0.001"]
    done = CliRunner().invoke(app, [*SHORT[:6], *options, "--json"])
    assert done.exit_code == 0, done.output
    assert "the accuracy 0.001 was not reached" in done.stderr
    assert json.loads(done.stdout)["accuracy_reached"] > 0.001


def test_the_table_ends_with_t_bbp(found):
    done = CliRunner().invoke(app, SHORT, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert (
        done.stdout.splitlines()[-1]
        == f"t_bbp = {float(found['t_bbp']):.3f} ± {float(found['t_bbp_error']):.3f}"
    )
    assert "outlier" in done.stdout


def test_an_outlier_that_does_not_exist_or_does_not_end_is_said(found):
    never = dynamics_summary(found.assign(t_bbp=np.nan, outlier=found["outlier"] * np.nan))
    assert never["t_bbp"] is None
    assert never["t_bbp_note"] == "no outlier exists at any time up to t = 0.6"
    lasting = dynamics_summary(found.assign(t_bbp=np.inf))
    assert lasting["t_bbp_note"] == "the outlier still exists at t = 0.6"
