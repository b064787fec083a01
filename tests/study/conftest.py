"""Reduced sweeps: those of the reference, and small ones made here."""

import pytest

from phasepipe.results.reduce import reduce_sweep
from phasepipe.store.folder import SweepFolder


@pytest.fixture(scope="session")
def reduced(finished, tmp_path_factory):
    """The finished sweep, its folder, and its reduced folder."""
    sweep, folder = finished
    target = SweepFolder(tmp_path_factory.mktemp("reduced") / "small")
    reduce_sweep(folder, target)
    return sweep, folder, target
