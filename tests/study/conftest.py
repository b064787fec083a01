"""Reduced sweeps: those of the reference, and small ones made here."""

import pytest

from phasepipe.pipeline.folders import SweepFolder
from phasepipe.stages.reduction import reduce_sweep


@pytest.fixture(scope="session")
def reduced(finished, tmp_path_factory):
    """The finished sweep, its folder, and its reduced folder."""
    sweep, folder = finished
    target = SweepFolder(tmp_path_factory.mktemp("reduced") / "small")
    reduce_sweep(folder, target)
    return sweep, folder, target
