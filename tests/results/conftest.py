"""One small sweep whose alphas and N came in no order, built once for all questions to it."""

import pytest

import phasepipe as pp


@pytest.fixture(scope="session")
def folder(run_sweep, tmp_path_factory):
    results = tmp_path_factory.mktemp("query")
    run_sweep(results, N=[16], alpha=[4, 2])
    return run_sweep(results, N=[16, 12], alpha=[4, 2, 3])


@pytest.fixture(scope="session")
def tree(folder):
    return pp.open_sweep(folder.root)


@pytest.fixture(scope="session")
def grown(run_sweep, tmp_path_factory):
    """Starts added twice, the second time into a block that holds some already."""
    results = tmp_path_factory.mktemp("grown")
    warm = {"kind": "warm", "m0": 0.5}
    for count in (0, 1, 2):
        starts = [{"kind": "random", "count": 3}] + ([warm | {"count": count}] if count else [])
        folder = run_sweep(results, N=[32], alpha=[2, 3], t_max=20, starts=starts)
    return folder
