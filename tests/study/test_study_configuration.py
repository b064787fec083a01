"""The configurations of the study are valid, and the quick ones contain the same sweeps at small sizes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from phasepipe.cli import app
from phasepipe.specification.configuration import load_sweep, read_configuration

CONFIG = Path(__file__).parents[2] / "config"
FILES = sorted((CONFIG / "study").glob("*.yaml"))
QUICK = read_configuration(CONFIG / "study-quick.yaml")


def test_every_claim_has_a_file_and_so_does_the_threshold_of_the_flow():
    assert [path.name[:2].rstrip("-") for path in FILES] == ["1", "2", "3", "4", "5", "6", "7a", "7b", "8"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_quick_sweeps_are_those_of_the_study_in_small(path):
    content = read_configuration(path)
    assert content["results"] == "results/study"
    listed = CliRunner().invoke(app, ["sweeps", "--config", str(path)])
    assert listed.output.split() == list(content["sweeps"])
    for name in content["sweeps"]:
        whole, quick = load_sweep(content, name), load_sweep(QUICK, name)
        same = {"loss", "sensing", "noise", "seed", "zero_signal"}
        assert whole.model_dump(include=same) == quick.model_dump(include=same)
        assert [start.kind for start in whole.starts] == [start.kind for start in quick.starts]
        assert max(quick.N) < 32


def test_no_seed_is_used_by_two_sweeps_but_those_that_are_compared_on_equal_problems():
    seeds = {}
    for path in FILES:
        content = read_configuration(path)
        for name in content["sweeps"]:
            seeds.setdefault(load_sweep(content, name).seed, set()).add(path.stem)
    assert all(len(files) == 1 for files in seeds.values())


def test_no_quick_sweep_is_left_over():
    names = [name for path in FILES for name in read_configuration(path)["sweeps"]]
    assert list(QUICK["sweeps"]) == names
