"""A sweep on a real SLURM (start it with tests/slurm/slurm-up), with the bits of an undisturbed local run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from phasepipe.pipeline.cluster import ClusterError, connect
from phasepipe.pipeline.cluster_specs import SlurmCluster
from phasepipe.pipeline.tables import open_store

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slurm
# blocks of about a second, so that there is a middle in which to disturb
SWEEP = {
    "N": [24],
    "alpha": [1.5, 2, 2.5, 3],
    "instances": 6,
    "starts": [{"kind": "random", "count": 4}],
    "dynamics": {"kind": "descent", "learning_rate": 2e-3},
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


def start(root, *arguments, target=FATES):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments, "--rerun-incomplete", target],
        cwd=root,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process, seconds=150):
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, said


def queue():
    asked = subprocess.run(
        ["squeue", "--noheader", "--format=%A %T"], check=True, capture_output=True, text=True
    )
    return [line.split()[0] for line in asked.stdout.splitlines() if not line.endswith("COMPLETING")]


def wait_until(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def done(root):
    path = root / "results/small/runs/N24.zarr"
    return int((open_store(path)["status"] == 1).sum()) if path.exists() else 0


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
    code, said = finish(start(root, "--cores", "2"))
    assert code == 0, said
    return root


def test_dask_workers_survive_a_cancelled_job(project, reference):
    root = project("jobqueue", cluster=SLURM)
    process = start(root, "--cores", "1")
    try:
        wait_until(lambda: 0 < done(root) < 96)
        first = queue()
        assert first
        subprocess.run(["scancel", *first], check=True)
        code, said = finish(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert code == 0, said
    assert "new ones take their place" in (root / "results/small/logs/descent-N24.log").read_text()
    assert not queue()
    assert_same_bits(root, reference)


def test_a_killed_stage_leaves_no_job_and_is_resumed(project, reference):
    root = project("killed", cluster=SLURM | {"minimum_jobs": 0, "jobs": 2})
    process = start(root, "--cores", "1")
    wait_until(lambda: 0 < done(root) < 96)
    os.killpg(process.pid, signal.SIGTERM)
    code, _ = finish(process)
    assert code != 0
    wait_until(lambda: not queue(), 30)
    before = done(root)
    assert 0 < before < 96
    code, said = finish(start(root, "--cores", "1"))
    assert code == 0, said
    assert f"{before} of 96 stored" in (root / "results/small/logs/descent-N24.log").read_text()
    assert not queue()
    assert_same_bits(root, reference)


def test_a_stage_killed_in_its_slurm_job_is_resumed(project, reference):
    root = project("executor")
    profile = (
        "--workflow-profile",
        str(ROOT / "workflow/profiles/slurm"),
        "--cores",
        "2",
        "--latency-wait",
        "2",
    )
    quick = ("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2")
    quick += ("--default-resources", "mem_mb=800", "runtime=10", "--retries", "0")
    process = start(root, *profile, *quick)
    wait_until(lambda: 0 < done(root) < 96)
    # what SLURM does at the time limit: SIGTERM to the job, SIGKILL after KillWait
    subprocess.run(["scancel", *queue()], check=True)
    code, said = finish(process)
    assert code != 0, said
    wait_until(lambda: not queue(), 30)
    before = done(root)
    assert 0 < before < 96
    code, said = finish(start(root, *profile, *quick))
    assert code == 0, said
    assert_same_bits(root, reference)


def test_what_slurm_refuses_is_one_sentence():
    spec = SlurmCluster(**SLURM | {"queue": "nowhere"})
    with (
        pytest.raises(ClusterError, match=r"SLURM refuses .*nvalid partition.* queue, account") as refused,
        connect(spec),
    ):
        pytest.fail("connected to nothing")
    assert "\n" not in str(refused.value)
    assert not queue()


def test_jobs_that_die_before_a_worker_connects_end_the_waiting(tmp_path):
    spec = SlurmCluster(**SLURM | {"job_script_prologue": ["exit 3"], "log_directory": str(tmp_path)})
    with (
        pytest.raises(
            ClusterError, match=r"SLURM jobs ended before a worker connected; .*job_script_prologue"
        ),
        connect(spec) as client,
    ):
        client.submit(lambda: 1).result(timeout=90)
    assert not queue()
