"""The first stages of a small sweep."""

import pytest

from phasepipe.pipeline.folders import SweepFolder
from phasepipe.stages.descent import run_descent
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.success import estimate_success


@pytest.fixture(scope="session")
def run_sweep(make_sweep, client):
    """Runs a small sweep into a results folder, on the session's workers or on those of ``on``."""

    def run(results, on=client, **changes):
        address = {"kind": "address", "address": on.scheduler.address}
        sweep = make_sweep(cluster=address, **changes)
        folder = SweepFolder(results / sweep.name)
        draw_instances(sweep, folder, cores=1, log=results / "log")
        run_descent(sweep, folder, cores=1, log=results / "log")
        estimate_success(sweep, folder, results / "log")
        return folder

    return run
