"""Sweeps on a real SLURM (start it with tests/slurm/slurm-up) give the bits of an undisturbed local run."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from phasepipe.errors import ClusterError
from phasepipe.execution import slurm as slurm_jobs
from phasepipe.execution.cluster import connect
from phasepipe.specification.cluster import SchedulerFile, SlurmCluster
from phasepipe.store.tables import open_store
from tests.processes import done, finish

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slurm
# 24 blocks of almost a second: blocks are committed together every few seconds, and the tests disturb the
# sweep between two commits
SWEEP = {
    "N": [24],
    "alpha": [1.5, 2, 2.5, 3],
    "instances": 6,
    "starts": [{"kind": "random", "count": 4}],
    "dynamics": {"kind": "descent", "learning_rate": 1e-4},
    "t_max": 3,
    "block_instances": 1,
}
SLURM = {"kind": "slurm", "jobs": 1, "cores": 1, "memory": "500MB", "interface": "lo"}
FATES = "results/small/runs/N24.done"


@pytest.fixture(autouse=True, scope="module")
def _slurm_answers():
    if shutil.which("sinfo") is None or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.fail('no SLURM answers; start one with: eval "$(tests/slurm/slurm-up)"')


@pytest.fixture(scope="module")
def project(tmp_path_factory, configuration):
    def make(name, **changes):
        root = tmp_path_factory.mktemp(name)
        (root / "config").mkdir()
        for part in ("Snakefile", "workflow"):
            (root / part).symlink_to(ROOT / part)
        (root / "config/config.yaml").write_text(yaml.safe_dump(configuration(**SWEEP | changes)))
        return root

    return make


def start(root, *arguments, target=FATES, module="snakemake"):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments, "--rerun-incomplete", target],
        cwd=root,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def queue(folder):
    """Jobs submitted from ``folder`` that have not ended yet."""
    asked = subprocess.run(
        ["squeue", "--noheader", "--format=%A %T %Z"], check=True, capture_output=True, text=True
    )
    rows = [line.split(maxsplit=2) for line in asked.stdout.splitlines()]
    return [job for job, state, place in rows if state != "COMPLETING" and Path(place) == folder]


def state(job):
    asked = subprocess.run(["scontrol", "show", "job", job], check=True, capture_output=True, text=True)
    return re.search(r"JobState=(\w+)", asked.stdout)[1]


def hang_until_the_time_limit(job):
    """Suspend the processes of a job, so that they cannot end themselves, and let its time limit expire."""
    listed = subprocess.run(["scontrol", "listpids", job], check=True, capture_output=True, text=True)
    for line in listed.stdout.splitlines()[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.split()[0]), signal.SIGSTOP)
    subprocess.run(["scontrol", "update", f"JobId={job}", "EndTime=now"], check=True)


def wait_until(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition was not reached in time"
        time.sleep(0.2)


def assert_same_bits(root, reference):
    for stage in ("instances", "runs"):
        one, other = (
            open_store(place / f"results/small/{stage}/N24.zarr").load() for place in (root, reference)
        )
        assert set(one.variables) == set(other.variables)
        for name in other.variables:
            assert one[name].values.tobytes() == other[name].values.tobytes(), name


@pytest.fixture(scope="module")
def reference(project):
    root = project("reference")
    code, output = finish(start(root, "--cores", "2"), 200)
    assert code == 0, output
    return root


def dask_scenario(root, configuration, certificates):
    """Kill an adaptive sweep halfway; then continue, cancel one job and let another reach its time limit."""
    process = start(root, "--cores", "1")
    wait_until(lambda: 0 < done(root) < 96)
    os.killpg(process.pid, signal.SIGTERM)
    code, output = finish(process, 200)
    assert code != 0, output
    wait_until(lambda: not queue(root), 30)
    before = done(root)
    assert 0 < before < 96

    spec = SLURM | {"jobs": 2, "security": certificates}
    (root / "config/config.yaml").write_text(yaml.safe_dump(configuration(**SWEEP, cluster=spec)))
    process = start(root, "--cores", "1")
    try:
        wait_until(lambda: len(queue(root)) == 2 and before < done(root) < 96)
        cancelled, hanging = queue(root)
        hang_until_the_time_limit(hanging)
        subprocess.run(["scancel", cancelled], check=True)
        code, output = finish(process, 200)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert code == 0, output
    assert (state(cancelled), state(hanging)) == ("CANCELLED", "TIMEOUT")
    log = (root / "results/small/logs/descent.log").read_text()
    assert f"{before} of 96 stored" in log
    assert "submitting new ones in their place" in log
    assert not queue(root)


def executor_scenario(root):
    """Cancel the job of the SLURM executor in which the stage runs, and continue."""
    quick = ("--latency-wait", "2", "--default-resources", "mem_mb=1500", "runtime=10")
    quick += ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
    process = start(root, "--workflow-profile", str(ROOT / "workflow/profiles/slurm"), "--cores", "2", *quick)
    wait_until(lambda: 0 < done(root) < 96, 200)
    subprocess.run(["scancel", *queue(root)], check=True)
    code, output = finish(process, 200)
    assert code != 0, output
    wait_until(lambda: not queue(root), 30)
    assert "interrupted; finished blocks are stored" in "".join(
        file.read_text() for file in root.glob(".snakemake/slurm_logs/**/*.log")
    )
    assert 0 < done(root) < 96
    asked = ("run", "--profile", "slurm", "--cores", "2", "--", *quick)
    code, output = finish(start(root, *asked, module="phasepipe"), 200)
    assert code == 0, output


@pytest.fixture(scope="module", autouse=True)
def scenarios(project, configuration, certificates):
    """Run both scenarios in parallel, because they wait most of the time."""
    adaptive = SLURM | {"jobs": 2, "minimum_jobs": 0}
    roots = {"dask": project("dask", cluster=adaptive), "executor": project("executor")}
    with ThreadPoolExecutor() as pool:
        yield (
            roots,
            {
                "dask": pool.submit(dask_scenario, roots["dask"], configuration, certificates),
                "executor": pool.submit(executor_scenario, roots["executor"]),
            },
        )


def test_what_slurm_refuses_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = SlurmCluster(**SLURM | {"queue": "nowhere"})
    with (
        pytest.raises(ClusterError, match=r"SLURM refuses .*nvalid partition.* queue, account") as refused,
        connect(spec),
    ):
        pytest.fail("connected to nothing")
    assert "\n" not in str(refused.value)
    assert not queue(tmp_path)


def test_jobs_that_die_before_a_worker_connects_end_the_waiting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_jobs, "_QUEUE_CHECK", 1.0)
    spec = SlurmCluster(**SLURM | {"jobs": 2, "job_script_prologue": ["exit 3"]})
    with (
        pytest.raises(
            ClusterError, match=r"SLURM jobs ended 3 times before a worker connected; .*job_script_prologue"
        ),
        connect(spec),
    ):
        wait_until(lambda: False, 90)
    assert not queue(tmp_path)


def test_waiting_jobs_are_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_jobs, "_QUEUE_CHECK", 1.0)
    monkeypatch.setattr(slurm_jobs, "_REPORT", 2.0)
    spec = SlurmCluster(**SLURM | {"job_extra_directives": ["--begin=now+1hour"]})
    with connect(spec):
        wait_until(lambda: queue(tmp_path), 30)
        time.sleep(5)
    assert (
        "waiting for workers; our jobs in the queue of SLURM: 1 PENDING BeginTime" in capsys.readouterr().err
    )
    assert not queue(tmp_path)


def test_workers_leave_before_the_time_limit(tmp_path, monkeypatch):
    """The workers stop after half of the shortest time limit that SLURM allows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm_jobs, "_QUEUE_CHECK", 1.0)
    spec = SlurmCluster(**SLURM | {"walltime": "00:01:00", "margin": 25})
    with connect(spec) as client:
        wait_until(lambda: queue(tmp_path), 30)
        (first,) = queue(tmp_path)
        client.wait_for_workers(1, timeout=60)
        wait_until(lambda: first not in queue(tmp_path), 60)
        client.wait_for_workers(1, timeout=60)
        assert client.submit(lambda: 1).result(timeout=60) == 1
    assert state(first) != "TIMEOUT"
    assert not queue(tmp_path)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_cluster_held_open_leaves_no_job_whatever_ends_it(tmp_path, configuration, ending):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(configuration(cluster=SLURM)))
    options = ["--scheduler-file", "cluster.json", "--config", "config.yaml"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from phasepipe.cli import main; main()", "cluster", *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # a background process ignores Ctrl-C, and its children would inherit this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert "cluster is running" in process.stdout.readline()
        spec = SchedulerFile(kind="scheduler_file", path=str(tmp_path / "cluster.json"))
        with connect(spec) as client:
            assert client.submit(lambda: 1).result(timeout=60) == 1
        process.send_signal(ending)
        _, output = finish(process, 200)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert ("stopping the cluster" in output) == (ending != signal.SIGKILL)
    assert "Traceback" not in output
    wait_until(lambda: not queue(tmp_path), 90 if ending == signal.SIGKILL else 5)


@pytest.mark.parametrize("name", ["dask", "executor"])
def test_an_interrupted_sweep_is_finished_with_the_bits_of_a_local_run(scenarios, reference, name):
    roots, outcomes = scenarios
    outcomes[name].result()
    assert_same_bits(roots[name], reference)
