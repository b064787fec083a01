"""One small sweep whose alphas and N came in no order, built once for all questions to it."""

import pytest

import phasepipe as pp
from phasepipe.specification.configuration import load_sweep
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import run_descent
from phasepipe.stages.success import estimate_success
from phasepipe.store.folder import SweepFolder


@pytest.fixture(scope="session")
def compute(configuration, client):
    """Computes a small sweep into a results folder; keywords change its keys."""
    cluster = {"kind": "address", "address": client.scheduler.address}

    def run(results, **changes):
        sweep = load_sweep(configuration(cluster=cluster, **changes))
        folder = SweepFolder(results / sweep.name)
        draw_instances(sweep, folder, cores=2, log=results / "log")
        run_descent(sweep, folder, cores=2, log=results / "log")
        estimate_success(sweep, folder, results / "log")
        return folder

    return run


@pytest.fixture(scope="session")
def folder(compute, tmp_path_factory):
    results = tmp_path_factory.mktemp("query")
    compute(results, N=[16], alpha=[4, 2])
    return compute(results, N=[16, 12], alpha=[4, 2, 3])


@pytest.fixture(scope="session")
def tree(folder):
    return pp.open_sweep(folder.root)


@pytest.fixture(scope="session")
def grown(compute, tmp_path_factory):
    """Starts added twice, the second time into a block that holds some already."""
    results = tmp_path_factory.mktemp("grown")
    warm = {"kind": "warm", "m0": 0.5}
    for count in (0, 1, 2):
        starts = [{"kind": "random", "count": 3}] + ([warm | {"count": count}] if count else [])
        folder = compute(results, N=[32], alpha=[2, 3], t_max=20, starts=starts)
    return folder
