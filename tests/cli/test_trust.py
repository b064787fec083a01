"""Code that a configuration or a results folder names runs only with its sweep, or when it is trusted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import phasepipe as pp
from phasepipe.errors import SweepError
from phasepipe.results.reduce import reduce_sweep
from phasepipe.specification.configuration import load_sweep
from phasepipe.specification.loss import CustomLossSpec, UntrustedLossError
from phasepipe.stages.runs import run_descent
from phasepipe.stages.spectra import diagonalise_snapshots
from phasepipe.stages.success import estimate_success
from phasepipe.store.folder import SweepFolder
from phasepipe.store.identity import StoreMismatchError, check_identity

ROOT = Path(__file__).parents[2]
SOURCE = """
import numpy as np
from pathlib import Path

Path(__file__).with_suffix(".ran").touch()

class Amplitude:
    def __init__(self):
        Path(__file__).with_suffix(".ran").touch()
    def value(self, yhat, y):
        return 0.25 * (yhat**2 - y**2) ** 2 / (1 + y**2)
    def slope(self, yhat, y):
        return yhat * (yhat**2 - y**2) / (1 + y**2)
    def curvature(self, yhat, y):
        return (3 * yhat**2 - y**2) / (1 + y**2)
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory, configuration, client, cluster_of):
    """Configuration and results of somebody whose loss leaves a file behind when it is imported or built."""
    root = tmp_path_factory.mktemp("foreign")
    (root / "losses").mkdir()
    (root / "losses/foreign.py").write_text(SOURCE)
    content = configuration(
        loss={"kind": "custom", "path": "foreign.Amplitude", "directory": str(root / "losses")},
        alpha=[3, 4],
        instances=3,
        snapshots={"instances": 1, "starts": 1, "per_decade": 1},
        cluster=cluster_of(client),
    )
    content["results"] = str(root / "results")
    (root / "config.yaml").write_text(yaml.safe_dump(content))
    sweep, folder = load_sweep(content, trust=True), SweepFolder(root / "results/small")
    run_descent(sweep, folder, 1)
    diagonalise_snapshots(sweep, folder, 1)
    estimate_success(sweep, folder)
    return root


@pytest.fixture
def ran(foreign, monkeypatch):
    """Whether the code of the loss has run since the last question."""
    monkeypatch.chdir(foreign)
    marker = foreign / "losses/foreign.ran"

    def found():
        happened = marker.exists()
        marker.unlink(missing_ok=True)
        sys.modules.pop("foreign", None)  # else the next import would run nothing
        return happened

    found()
    return found


COMMANDS = {
    "check": ["check", "--config", "config.yaml"],
    "sweeps": ["sweeps", "--config", "config.yaml"],
    "status": ["status", "results/small"],
    "verify": ["verify", "results/small"],
    "log": ["log", "results/small"],
    "compare": ["compare", "results/small", "results/small"],
    "export": ["export", "results/small", "--to", "csv", "--output", "{new}"],
    "refine": ["refine", "--budget", "1", "--config", "config.yaml"],
    "reduce": ["reduce", "results/small", "--to", "{new}"],
}
SAYS = {"check", "verify", "reduce"}  # they would need the code


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_runs_foreign_code_unasked(phasepipe, ran, foreign, tmp_path, name):
    code, out, err = phasepipe(*(word.format(new=tmp_path / "new") for word in COMMANDS[name]))
    assert not ran()
    assert "Traceback" not in err
    said = " ".join((out + err).replace("│", " ").split())
    if name in SAYS:
        assert "the code of module foreign" in said
        assert "--trust" in said
    if name in ("check", "reduce"):  # whose output is not folded into a table
        assert f"module foreign ({foreign}/losses/foreign.py)" in said
    assert code == (name == "reduce")


@pytest.mark.parametrize("name", sorted(SAYS))
def test_told_to_they_do(phasepipe, ran, tmp_path, name):
    code, out, err = phasepipe(*(word.format(new=tmp_path / "new") for word in COMMANDS[name]), "--trust")
    assert code == 0
    assert ran()
    assert "--trust" not in out + err
    assert "no sample" not in out


def test_an_opened_sweep_answers_without_the_code_what_needs_none(ran, foreign):
    tree = pp.open_sweep(foreign / "results/small")
    tree.load()
    tree.phase.success()
    tree.phase.alpha_50()
    tree.phase.runs(12, 3)
    tree.phase.trajectory(12, 3, 0, 0)
    tree.phase.problem(12, 3, 0)
    tree.phase.to_dataframe()
    tree.phase.cite()
    with pytest.raises(UntrustedLossError, match=r"module foreign \(.*foreign\.py\).*trust=True"):
        tree.phase.rerun(12, 3, 0, 0)
    assert not ran()
    again = pp.open_sweep(foreign / "results/small", trust=True).phase.rerun(12, 3, 0, 0)
    assert again.attrs["repeats_stored_bits"] == "yes"
    assert ran()


def test_whatever_forgets_to_ask_is_refused(ran, foreign, tmp_path):
    tree = pp.open_sweep(foreign / "results/small")
    sweep, folder = tree.phase.sweep, SweepFolder(foreign / "results/small")
    with pytest.raises(UntrustedLossError):
        sweep.loss.build()
    with pytest.raises(UntrustedLossError):
        reduce_sweep(folder, SweepFolder(tmp_path / "reduced"))
    with pytest.raises(UntrustedLossError):
        run_descent(sweep, SweepFolder(tmp_path / "new"), 1)
    assert not (tmp_path / "new/runs/N12.zarr").exists()
    assert not ran()


def test_no_file_can_say_that_it_is_trusted(configuration, ran):
    for name in ("trusted", "_trusted", "is_trusted"):
        loss = {"kind": "custom", "path": "foreign.Amplitude", "directory": "losses", name: True}
        with pytest.raises(SweepError, match=name):
            load_sweep(configuration(loss=loss))
    assert not ran()


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("foreign.Amplitude", r"module foreign \(.*losses/foreign\.py\)"),
        ("package.inner.Loss", r"module package\.inner \(.*package/inner\.py\)"),
        ("nowhere_at_all.Loss", r"module nowhere_at_all \(which was not found\)"),
        ("foreign.deeper.Loss", r"module foreign\.deeper \(which was not found\)"),
        ("json.JSONEncoder", r"module json \(.*json/__init__\.py\)"),
        ("sys.path", r"module sys \(built-in\)"),
        ("Loss", r"has no module"),
        ("..Loss", r"loss\.path"),
        ("a b.Loss", r"module a b \(which was not found\)"),
    ],
)
def test_the_file_is_found_without_running_anything(foreign, ran, path, names):
    package = foreign / "losses/package"
    package.mkdir(exist_ok=True)
    for name in ("__init__", "inner"):
        (package / f"{name}.py").write_text(f"raise SystemExit('{name} ran')")
    spec = CustomLossSpec(kind="custom", path=path, directory=str(foreign / "losses"))
    before = list(sys.path)
    with pytest.raises(SweepError, match=names):
        spec.build()
    assert sys.path == before
    assert not {"package", "package.inner", "foreign"} & sys.modules.keys()
    assert not ran()


def test_running_says_so(foreign, ran):
    for part in ("Snakefile", "workflow"):
        (foreign / part).symlink_to(ROOT / part)
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--configfile", "config.yaml"],
        cwd=foreign,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr.count(f"runs the code of module foreign ({foreign}/losses/foreign.py)") == 1
    assert ran()


@pytest.mark.usefixtures("ran")
def test_a_changed_loss_is_refused_when_it_may_be_looked_at(foreign):
    content, file = yaml.safe_load((foreign / "config.yaml").read_text()), foreign / "losses/foreign.py"
    path = foreign / "results/small/runs/N12.zarr"
    file.write_text(SOURCE.replace("1 + y**2", "2 + y**2"))
    try:
        check_identity(path, load_sweep(content), "runs")
        with pytest.raises(StoreMismatchError, match=r"foreign\.Amplitude changed"):
            check_identity(path, load_sweep(content, trust=True), "runs")
    finally:
        file.write_text(SOURCE)
