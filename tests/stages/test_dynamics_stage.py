"""The stage that predicts the dynamics for N to infinity: its numbers, its cache, and what it refuses."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

import phasepipe as pp
from phasepipe.stages.dynamics import CACHE, SEEDS, DynamicsError, predict_dynamics
from phasepipe.stages.dynamics_figures import FIGURES, draw_dynamics
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_store, write_table
from phasepipe.variables import DYNAMICS

ALPHA = 4.0
SETTINGS = {"alpha": [ALPHA], "t_max": 3.2, "accuracy": 0.1, "samples": 1024}
OF_ODD_LOSS = """
import numpy as np

class Odd:
    def value(self, yhat, y):
        return (yhat - y) ** 2 / 2

    def slope(self, yhat, y):
        return yhat - y

    def curvature(self, yhat, y):
        return np.ones_like(yhat - y)
"""


@pytest.fixture
def predict(make_finished):
    """Run the stage for a sweep of this name in a results folder; returns its table."""

    def run(results, name, dynamics_theory=SETTINGS, **changes):
        sweep = make_finished(dynamics_theory=dynamics_theory, **changes).trusted()
        folder = SweepFolder(results / name)
        predict_dynamics(sweep, folder)
        return pp.open_sweep(folder.root)["dynamics"].to_dataset().load()

    return run


def kept(results):
    return sorted((results / CACHE).glob("*.zarr"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_numbers_are_those_of_the_library(tmp_path, predict):
    table = predict(tmp_path, "small")
    assert set(table.data_vars) == set(DYNAMICS)
    loss, options = pp.NormalisedQuartic(1.0), {"samples": 1024, "seeds": SEEDS, "accuracy": 0.1}
    found = pp.theory.dynamics(loss, ALPHA, 3.2, **options)
    for name in ("energy", "amplification", "overlap_variance_error"):
        expected = found[name].interp(time=table["time"].values)
        np.testing.assert_allclose(table[name].sel(alpha=ALPHA), expected, rtol=1e-6)
    half = table["half_size"].sel(alpha=ALPHA).dropna("budget")
    assert half.size
    assert (np.diff(half) > 0).all()
    N, budget = float(half[-1]), float(half["budget"][-1])
    assert pp.theory.success_probability(loss, ALPHA, N, budget, **options).value == pytest.approx(
        0.5, abs=0.02
    )


def test_results_serve_all_sweeps_of_a_loss_at_an_accuracy(tmp_path, predict):
    predict(tmp_path, "first")
    (place,) = kept(tmp_path)
    marked = open_store(place).load()
    write_table(place, marked.assign(energy=0 * marked["energy"] + 7.0))
    assert (predict(tmp_path, "second", N=[16], instances=2)["energy"] == 7.0).all()
    assert kept(tmp_path) == [place]
    other_accuracy = predict(tmp_path, "third", SETTINGS | {"accuracy": 0.2})
    other_loss = predict(tmp_path, "fourth", loss={"kind": "normalised_quartic", "a": 0.3})
    assert not (other_accuracy["energy"] == 7.0).any()
    assert not (other_loss["energy"] == 7.0).any()
    assert float(other_loss["energy"][0, 0]) != pytest.approx(float(other_accuracy["energy"][0, 0]), rel=0.1)
    assert len(kept(tmp_path)) == 3


def test_a_sweep_that_asks_for_nothing_is_refused(tmp_path, predict):
    with pytest.raises(DynamicsError, match="asks for no dynamics; set dynamics_theory: true"):
        predict(tmp_path, "small", None)
    assert not (tmp_path / "small" / "dynamics.zarr").exists()


def test_a_loss_that_is_not_even_is_refused_with_its_alpha(tmp_path, predict):
    (tmp_path / "odd_for_dynamics.py").write_text(OF_ODD_LOSS)
    loss = {"kind": "custom", "path": "odd_for_dynamics.Odd", "directory": str(tmp_path)}
    with pytest.raises(DynamicsError, match=r"alpha = 4: the value of .* changes with the sign"):
        predict(tmp_path, "small", loss=loss)
    assert not kept(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_figures_without_a_common_budget_say_so(tmp_path, finished, predict):
    short = SETTINGS | {"t_max": 0.5, "accuracy": 0.2, "samples": 256}
    sweep, folder = finished[0].model_copy(update={"dynamics_theory": None}), SweepFolder(tmp_path / "small")
    shutil.copytree(finished[1].root, folder.root)
    predict(tmp_path, "small", short)
    draw_dynamics(sweep, folder)
    for name in FIGURES:
        assert (folder.root / "figures" / f"{name}.png").exists()
        note = "no time budget is both predicted and measured"
        text = (folder.root / "figures" / f"{name}.svg").read_text()
        assert (note in text) == (name in ("dynamics-success", "dynamics-alpha50"))
    assert pd.read_csv(folder.root / "figures" / "dynamics-alpha50.csv").empty
