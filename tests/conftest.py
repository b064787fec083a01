"""A small sweep, for every test that needs one."""

import copy
import sys

import pytest

from phasepipe.cli import main
from phasepipe.pipeline.configuration import load_sweep

SMALL = {
    "loss": {"kind": "normalised_quartic", "a": 0.01},
    "N": [12],
    "alpha": [2, 4],
    "instances": 4,
    "starts": [{"kind": "random", "count": 2}],
    "t_max": 5,
    "block_instances": 2,
    "seed": 7,
}


@pytest.fixture(scope="session")
def configuration():
    """Content of a configuration file with one small sweep; keywords change keys, None drops one."""

    def make(**changes):
        settings = copy.deepcopy(SMALL) | changes
        kept = {key: value for key, value in settings.items() if value is not None}
        return {"sweep": "small", "sweeps": {"small": kept}}

    return make


@pytest.fixture(scope="session")
def make_sweep(configuration):
    """A validated small sweep; keywords change its keys."""
    return lambda **changes: load_sweep(configuration(**changes))


@pytest.fixture
def phasepipe(monkeypatch, capsys):
    """Runs a command; returns exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["phasepipe", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        if isinstance(end.value.code, str):  # what the interpreter does with it
            return 1, said.out, said.err + end.value.code
        return end.value.code or 0, said.out, said.err

    return run
