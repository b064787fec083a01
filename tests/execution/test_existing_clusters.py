"""Clusters that somebody else holds open: with TLS, without workers, out of reach."""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from phasepipe.errors import ClusterError
from phasepipe.execution import cluster
from phasepipe.execution.cluster import connect
from phasepipe.specification.cluster import SchedulerAddress, SchedulerFile
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.runs import run_descent
from phasepipe.store.folder import SweepFolder
from phasepipe.store.tables import open_store

ROOT = Path(__file__).parents[2]
TLS = {"ca-file": "ca_file", "cert": "cert", "key": "key"}  # options of Dask, keys of ours


@contextmanager
def dask(command, folder, *arguments):
    """A process of Dask's own command line, in ``folder``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + command, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def scheduler(folder, *arguments):
    file = folder / "scheduler.json"
    common = ("--no-dashboard", "--port", "0", "--scheduler-file", str(file))
    with dask("scheduler", folder, *common, *arguments):
        end = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < end
            time.sleep(0.1)
        yield SchedulerFile(kind="scheduler_file", path=str(file))


def refusal(spec, **words):
    began = time.monotonic()
    with pytest.raises(ClusterError, **words) as refused, connect(spec):
        pytest.fail("connected")
    assert time.monotonic() - began < 20
    assert "\n" not in str(refused.value)
    return str(refused.value)


def port():
    """One that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:{port}",
        "tls://127.0.0.1:{port}",
    ],
)
def test_an_address_where_nobody_answers_is_one_sentence(address, monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_TIMEOUT", 2.0)
    address = address.format(port=port())
    refusal(
        SchedulerAddress(kind="address", address=address), match=f"no Dask scheduler answers at {address}"
    )


def test_a_failed_connection_leaves_no_event_loop_behind(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_TIMEOUT", 1.0)
    gc.collect()
    gc.disable()  # else it may be cleared away by chance, or stop the next client in its starting thread
    try:
        before = set(threading.enumerate())
        refusal(
            SchedulerAddress(kind="address", address=f"tls://127.0.0.1:{port()}"), match="no Dask scheduler"
        )
        left = [thread for thread in threading.enumerate() if thread not in before]
        for thread in left:
            thread.join(timeout=5)
        assert not any(thread.is_alive() and thread.name == "IO loop" for thread in left)
    finally:
        gc.enable()


def test_a_scheduler_without_workers_is_waited_for_and_told_of(tmp_path, monkeypatch, capsys):
    """It is not encrypted, which is the choice of whoever started it."""
    monkeypatch.setattr(cluster, "_FIRST_WARNING", 1.0)
    with scheduler(tmp_path, "--host", "127.0.0.1") as spec, connect(spec) as client:
        with connect(SchedulerAddress(kind="address", address=client.scheduler.address)) as by_address:
            assert by_address.scheduler.address == client.scheduler.address
        future = client.submit(lambda: 1)
        time.sleep(3)
        assert f"the cluster at {spec.path} has no workers; waiting for them" in capsys.readouterr().err
        with dask(
            "worker",
            tmp_path,
            client.scheduler.address,
            "--host",
            "127.0.0.1",
            "--nthreads",
            "1",
            "--no-dashboard",
        ):
            assert future.result(timeout=60) == 1


def test_a_sweep_over_tls_whose_secrets_are_nowhere(tmp_path, certificates, make_sweep, capsys):
    files = [f"--tls-{key}={certificates[name]}" for key, name in TLS.items()]
    with ExitStack() as stack:
        spec = stack.enter_context(scheduler(tmp_path, "--protocol", "tls", "--host", "127.0.0.1", *files))
        with connect(SchedulerFile(**spec.model_dump() | {"security": certificates})) as client:
            address = client.scheduler.address
        assert address.startswith("tls://")
        stack.enter_context(
            dask(
                "worker",
                tmp_path,
                address,
                "--host",
                "127.0.0.1",
                "--nthreads",
                "1",
                "--no-dashboard",
                *files,
            )
        )
        secured = make_sweep(cluster={"kind": "address", "address": address, "security": certificates})
        folder, log = SweepFolder(tmp_path / "results"), tmp_path / "results/log"
        log.parent.mkdir()
        for stage in (draw_instances, run_descent):
            stage(secured, folder, cores=1, log=log)
        assert "encryption" in refusal(
            SchedulerAddress(kind="address", address=address.replace("tls", "tcp"), security=certificates)
        )
        refusal(SchedulerAddress(kind="address", address=address), match="the same TLS files")
    assert (open_store(folder.store("runs", 12))["status"] == 1).all()
    said = capsys.readouterr()
    kept = [path.read_bytes() for path in folder.root.rglob("*") if path.is_file()]
    kept += [said.out.encode(), said.err.encode()]
    key = Path(certificates["key"]).read_bytes()
    for secret in (certificates["key"].encode(), certificates["cert"].encode(), key.splitlines()[1]):
        assert not any(secret in content for content in kept)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": "missing.pem"}, r"cluster\.security\.key = 'missing\.pem' is not a readable file"),
        ({"key": "ca_file"}, "the files of cluster.security do not match"),
        ({"ca_file": "key"}, "the files of cluster.security do not match"),
    ],
)
def test_certificates_that_do_not_fit_are_one_sentence(certificates, changes, words):
    changed = {key: certificates.get(value, value) for key, value in changes.items()}
    refusal(
        SchedulerAddress(
            kind="address", address=f"tls://127.0.0.1:{port()}", security=certificates | changed
        ),
        match=words,
    )
