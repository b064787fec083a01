"""The code of docs/how-to/own-loss.md runs as it stands, and its loss goes through a sweep."""

import re
from pathlib import Path

import numpy as np
import pytest

import phasepipe as pp
from phasepipe.specification.configuration import load_sweep
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import run_descent
from phasepipe.stages.spectra import diagonalise_snapshots
from phasepipe.store.folder import SweepFolder

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-loss.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_runs_and_its_loss_goes_through_theory_descent_and_spectrum():
    names: dict = {"__name__": "own_loss_page"}
    for block in blocks("python"):
        exec(compile(block, PAGE.name, "exec"), names)
    alpha_init, alpha_threshold = names["thresholds"]
    assert 0.5 < alpha_init < alpha_threshold
    assert names["runs"].sizes["start"] == names["spectrum"].sizes["start"] == 8
    loss, yhat, y, h = names["loss"], np.linspace(-2, 2, 9), 0.7, 1e-5
    slope = (loss.value(yhat + h, y) - loss.value(yhat - h, y)) / (2 * h)
    curvature = (loss.slope(yhat + h, y) - loss.slope(yhat - h, y)) / (2 * h)
    np.testing.assert_allclose(loss.slope(yhat, y), slope, atol=1e-8)
    np.testing.assert_allclose(loss.curvature(yhat, y), curvature, atol=1e-8)
    assert loss.curvature(np.array(0.0), y) == pytest.approx(1 - np.sqrt(1 + 1 / loss.eps))


def test_the_loss_goes_through_a_sweep(tmp_path):
    (tmp_path / "page_losses.py").write_text(blocks("python")[0])
    settings = {
        "loss": {
            "kind": "custom",
            "path": "page_losses.PerturbedAmplitude",
            "parameters": {"eps": 0.5},
            "directory": str(tmp_path),
        },
        "N": [12],
        "alpha": [3],
        "instances": 2,
        "starts": [{"kind": "random", "count": 2}],
        "t_max": 5,
        "snapshots": {"instances": 1, "starts": 1, "per_decade": 1},
    }
    sweep = load_sweep({"sweep": "own", "sweeps": {"own": settings}}, trust=True)
    folder = SweepFolder(tmp_path / "own")
    for stage in (draw_instances, run_descent, diagonalise_snapshots):
        stage(sweep, folder, 1)
    tree = pp.open_sweep(folder.root)
    assert (tree["runs/N12"].ds.status == 1).all()
    assert np.isfinite(tree["spectra/N12"].ds.eigenvalues.values[..., 0, :]).all()
