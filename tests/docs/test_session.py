"""The session of docs/tutorials/session.md runs as it stands on a real sweep, its commands included."""

import re
import shlex
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from phasepipe.cli import main
from phasepipe.specification.configuration import load_sweep
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import run_descent
from phasepipe.store.folder import SweepFolder

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "session.md"
SETTINGS = {
    "loss": {"kind": "normalised_quartic", "a": 0.01},
    "N": [48, 32],
    "alpha": [2.5, 3, 3.5],
    "instances": 4,
    "starts": [{"kind": "random", "count": 4}],
    "t_max": 100,
    "seed": 5,
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with results/demo in it, smaller than the shipped one."""
    place = tmp_path_factory.mktemp("session")
    sweep = load_sweep({"sweep": "demo", "sweeps": {"demo": SETTINGS}})
    folder = SweepFolder(place / "results/demo")
    draw_instances(sweep, folder, 2, place / "log")
    run_descent(sweep, folder, 2, place / "log")
    return place


def test_the_python_of_the_page_runs(place, monkeypatch):
    monkeypatch.chdir(place)
    names: dict = {"__name__": "session"}
    with mpl.rc_context({"backend": "agg"}):
        exec(compile("\n".join(blocks("python")), PAGE.name, "exec"), names)
    runs, alpha = names["tree"]["runs/N48"].to_dataset().compute(), names["alpha"]
    shares = (runs["outcome"] == 1).mean(["instance", "start"])
    assert abs(shares.sel(alpha=alpha) - 0.5) == abs(shares - 0.5).min()
    for code, outcome in ((1, "recovered"), (2, "trapped")):
        instance, start = names["chosen"][outcome]
        assert runs["outcome"].sel(alpha=alpha, instance=instance)[start] == code
    # the path comes back to the bit; what is measured on it depends, in the last bit, on how many records
    # of all instances of a block the engine measured in one product
    again, stored = names["again"], names["trajectories"]["recovered"]
    at_stored = again.sel(time=stored["time"])
    for name in ("outcome", "recovery_time", "end_time", "evaluations", "overlap"):
        np.testing.assert_array_equal(at_stored[name], stored[name], err_msg=name)
    for name in ("loss", "gradient_norm", "mu", "edge"):
        np.testing.assert_allclose(at_stored[name], stored[name], rtol=1e-5, err_msg=name)
    assert len(names["table"]) == 96
    assert Path("two-runs.png").stat().st_size > 10_000
    np.testing.assert_allclose(names["measured"]["eigenvalues"][0, 1], names["predicted"][0], rtol=0.1)


def test_the_commands_of_the_page_run(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    ran = [shlex.split(line) for block in blocks("bash") for line in block.splitlines()]
    # place holds the run
    for command in (words for words in ran if words[0] == "phasepipe" and words[1] != "run"):
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, command
    assert "96 of 96 runs" in capsys.readouterr().out
    assert (place / "published/demo.nc").exists()
