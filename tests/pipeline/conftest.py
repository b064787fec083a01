"""A Dask cluster for the whole session, and the finished stages of a small sweep."""

import os

import pytest

from phasepipe.pipeline.cluster import connect
from phasepipe.pipeline.cluster_specs import LocalCluster
from phasepipe.pipeline.folders import SweepFolder
from phasepipe.stages.descent import run_descent
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.success import estimate_success


@pytest.fixture(scope="session")
def client():
    """Two local workers, started where the environment asks for three BLAS threads."""
    asked = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "3")
    before = {name: os.environ.get(name) for name in asked}
    os.environ.update(asked)
    with connect(LocalCluster(workers=2)) as client:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture(scope="session")
def run_sweep(make_sweep, client):
    """Runs a small sweep into a results folder, on the session's workers or on those of ``on``."""

    def run(results, on=client, **changes):
        address = {"kind": "address", "address": on.scheduler.address}
        sweep = make_sweep(cluster=address, **changes)
        folder = SweepFolder(results / sweep.name)
        for N in sweep.N:
            draw_instances(sweep, N, folder, cores=1, log=results / "log")
            run_descent(sweep, N, folder, cores=1, log=results / "log")
        estimate_success(sweep, folder, results / "log")
        return folder

    return run
