"""A small sweep, a Dask cluster, and a sweep whose every stage has run, for every test that needs one."""

import copy
import os
import shutil
import subprocess
import sys

import pytest
from hypothesis import settings

from phasepipe.cli import main
from phasepipe.execution.cluster import connect, write_scheduler_file
from phasepipe.results.reduce import reduce_sweep
from phasepipe.specification.cluster import LocalCluster
from phasepipe.specification.configuration import load_sweep
from phasepipe.stages.fate import relate_fates
from phasepipe.stages.hessian_figures import draw_hessian
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import run_descent
from phasepipe.stages.scaling import study_scaling
from phasepipe.stages.spectra import diagonalise_snapshots
from phasepipe.stages.success import estimate_success
from phasepipe.stages.success_figures import draw_success
from phasepipe.stages.theory import predict_thresholds
from phasepipe.store.folder import SweepFolder

# the first call of a compiled loop may compile it, which takes seconds
settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")

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

FINISHED = {
    "loss": {"kind": "normalised_quartic", "a": 1.0},
    "N": [16, 24],
    "alpha": [1.5, 2.5, 4.0],
    "instances": 6,
    "starts": [{"kind": "random", "count": 4}, {"kind": "warm", "count": 2, "m0": 0.5}],
    "t_max": 20,
    "records_per_decade": 4,
    "snapshots": {"instances": 3, "starts": 2, "per_decade": 2},
    "seed": 3,
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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """TLS files of a certificate authority made here: the section ``security`` of a cluster."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")
    folder = tmp_path_factory.mktemp("tls")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    for arguments in (
        ["req", "-x509", *curve, "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", *curve, "-subj", "/CN=phasepipe", "-keyout", "key.pem", "-out", "request.pem"],
        ["x509", "-req", "-days", "2", "-in", "request.pem", *signed, "-out", "cert.pem"],
    ):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    return {
        key: str(folder / f"{name}.pem")
        for key, name in (("ca_file", "ca"), ("cert", "cert"), ("key", "key"))
    }


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
def cluster_of(tmp_path_factory):
    """The section ``cluster`` with which a sweep uses the workers of a client."""
    files = {}

    def found(client):
        if client.id not in files:
            files[client.id] = tmp_path_factory.mktemp("cluster") / "scheduler.json"
            write_scheduler_file(client, files[client.id])
        return {"kind": "scheduler_file", "path": str(files[client.id])}

    return found


@pytest.fixture(scope="session")
def make_finished(client, cluster_of):
    """The sweep of ``finished``; keywords change its keys."""
    address = cluster_of(client)

    def make(**changes):
        return load_sweep({"sweep": "small", "sweeps": {"small": FINISHED | {"cluster": address} | changes}})

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory, make_finished):
    """Sweep and folder with every store, table and figure; copy the folder to change it."""
    sweep = make_finished()
    folder = SweepFolder(tmp_path_factory.mktemp("finished") / "small")
    for stage in (draw_instances, run_descent, diagonalise_snapshots):
        stage(sweep, folder, 1)
    for whole in (
        predict_thresholds,
        estimate_success,
        study_scaling,
        relate_fates,
        draw_success,
        draw_hessian,
    ):
        whole(sweep, folder)
    return sweep, folder


@pytest.fixture(scope="session")
def run_sweep(make_sweep, client, cluster_of):
    """Runs a small sweep into a results folder, on the session's workers or on those of ``on``."""

    def run(results, on=client, **changes):
        sweep = make_sweep(cluster=cluster_of(on), **changes)
        folder = SweepFolder(results / sweep.name)
        draw_instances(sweep, folder, cores=1, log=results / "log")
        run_descent(sweep, folder, cores=1, log=results / "log")
        estimate_success(sweep, folder, results / "log")
        return folder

    return run


@pytest.fixture(scope="session")
def reduced(finished, tmp_path_factory):
    """The finished sweep, its folder, and its reduced folder."""
    sweep, folder = finished
    target = SweepFolder(tmp_path_factory.mktemp("reduced") / "small")
    reduce_sweep(folder, target)
    return sweep, folder, target
