"""Blocks on real Dask workers: reached, failing, and always the same bits."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

import phasepipe.execution.blocks as blocks_module
from phasepipe.errors import ClusterError
from phasepipe.execution.blocks import BlocksFailedError, BlockTask, compute_blocks
from phasepipe.execution.cluster import connect, worker_memory, write_scheduler_file
from phasepipe.execution.cost import block_bytes, block_seconds, computed_here, instances_per_block
from phasepipe.execution.progress import reporting
from phasepipe.specification.cluster import LocalCluster, SchedulerAddress, SchedulerFile, SlurmCluster
from phasepipe.stages.runs import run_descent
from phasepipe.store.folder import SweepFolder
from phasepipe.store.layout import Block
from phasepipe.store.tables import open_store


def blocks(count, compute):
    return [
        BlockTask(
            Block(f"N12-{index}", (slice(index, index + 1),), np.ones(1, bool), {}),
            compute,
            1.0,
            f"block {index}",
        )
        for index in range(count)
    ]


def test_workers_use_one_blas_thread_whatever_the_environment_asks(client):
    def threads():
        import numpy  # noqa: F401
        from threadpoolctl import threadpool_info

        return [pool["num_threads"] for pool in threadpool_info()]

    found = client.run(threads)
    assert len(found) == 2
    assert all(pools and set(pools) == {1} for pools in found.values())


def test_a_worker_that_has_nearly_filled_its_memory_goes_on():
    """Dask would pause it at 80 %; libraries alone can take that of a small share, for ever."""

    def leave_a_tenth(dask_worker):
        dask_worker.memory_manager.memory_limit = int(1.1 * psutil.Process().memory_info().rss)

    with connect(LocalCluster(workers=1)) as client:
        client.run(leave_a_tenth)
        time.sleep(2)  # several checks of the memory
        assert client.submit(lambda: 1).result(timeout=30) == 1


def test_a_local_cluster_listens_on_this_machine_only(client):
    assert client.scheduler.address.startswith("tls://127.0.0.1:")
    assert all(worker.startswith("tls://127.0.0.1:") for worker in client.scheduler_info()["workers"])


@pytest.mark.usefixtures("client")
def test_no_process_of_a_local_cluster_listens_to_other_machines():
    mine = psutil.Process()
    here = [mine, *mine.children(recursive=True)]
    open_ports = {
        port.laddr.ip for one in here for port in one.net_connections("inet") if port.status == "LISTEN"
    }
    assert open_ports == {"127.0.0.1"}


def test_a_result_lost_with_its_worker_is_no_failure(monkeypatch):
    """The block is stored: only its tally is lost, and the scheduler is well."""
    real, lost = blocks_module._as_finished, []

    def with_a_death(client, *arguments):
        for future in real(client, *arguments):
            if not lost:
                for pid in client.run(os.getpid).values():
                    os.kill(pid, signal.SIGKILL)
                end = time.monotonic() + 60
                while future.status == "finished" and time.monotonic() < end:
                    time.sleep(0.001)
                lost.append(future.status)
            yield future

    monkeypatch.setattr(blocks_module, "_as_finished", with_a_death)
    with connect(LocalCluster(workers=1)) as client, reporting("test", 4) as reporter:
        compute_blocks(client, blocks(4, lambda _: {"seen": 1}), reporter)
    assert lost == ["lost"]
    assert reporter.done == 4
    assert reporter.tally.get("seen", 0) < 4  # at least the one that was waited for is lost


def test_every_block_is_computed_once_and_counted(client):
    def compute(block):
        return {"seen": 1, block.label: 1}

    with reporting("test", 7) as reporter:
        compute_blocks(client, blocks(7, compute), reporter)
    assert reporter.done == 7
    assert reporter.tally == {"seen": 7} | {f"N12-{index}": 1 for index in range(7)}


def test_a_block_computed_before_is_computed_again(client):
    for call in range(3):
        with reporting("test", 4) as reporter:
            compute_blocks(client, blocks(4, lambda _, call=call: {f"call {call}": 1}), reporter)
        assert reporter.tally == {f"call {call}": 4}


def test_failing_blocks_are_named_and_stop_nobody(client, tmp_path):
    def compute(block):
        index = block.region[0].start
        if index in (1, 4):
            raise OSError(f"no space for {index}")
        (tmp_path / block.label).touch()
        return {"done": 1}

    with (
        reporting("test", 6) as reporter,
        pytest.raises(BlocksFailedError, match="2 of 6 blocks failed, all others are stored") as failed,
    ):
        compute_blocks(client, blocks(6, compute), reporter)
    assert "block 1: OSError: no space for 1" in str(failed.value)
    assert "block 4: OSError: no space for 4" in str(failed.value)
    assert "\n" not in str(failed.value)
    assert reporter.done == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"N12-{index}" for index in (0, 2, 3, 5)]


def test_many_failures_make_a_short_message(client):
    def compute(block):
        raise ValueError(block.label)

    with reporting("test", 30) as reporter, pytest.raises(BlocksFailedError, match="and 25 more") as failed:
        compute_blocks(client, blocks(30, compute), reporter)
    assert len(str(failed.value)) < 500


@pytest.fixture(scope="module")
def reference(run_sweep, tmp_path_factory):
    return results(run_sweep(tmp_path_factory.mktemp("reference"), **SWEEP))


SWEEP = {"instances": 5, "starts": [{"kind": "random", "count": 2}, {"kind": "warm", "count": 1, "m0": 0.5}]}


def results(folder):
    return [open_store(folder.store(stage, 12)).load() for stage in ("instances", "runs")]


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        for name in other.variables:
            assert one[name].dtype == other[name].dtype
            assert one[name].values.tobytes() == other[name].values.tobytes(), name


def test_same_bits_in_the_other_order(run_sweep, reference, tmp_path, monkeypatch):
    monkeypatch.setattr("phasepipe.stages.runs.block_seconds", lambda *size: -block_seconds(*size))
    assert_same_bits(results(run_sweep(tmp_path, block_instances=1, **SWEEP)), reference)


@pytest.mark.parametrize("block_instances", [1, 3, 5])
def test_same_bits_for_every_size_of_block(run_sweep, reference, tmp_path, block_instances):
    assert_same_bits(results(run_sweep(tmp_path, block_instances=block_instances, **SWEEP)), reference)


def test_same_bits_on_one_worker(run_sweep, reference, tmp_path):
    with connect(LocalCluster(workers=1)) as alone:
        assert_same_bits(results(run_sweep(tmp_path, on=alone, **SWEEP)), reference)


def test_same_bits_without_worker_processes(make_sweep, reference, tmp_path, monkeypatch):
    monkeypatch.setattr("phasepipe.execution.cluster.connect", None)
    sweep = make_sweep(**SWEEP)
    assert computed_here(sweep)
    folder = SweepFolder(tmp_path / sweep.name)
    run_descent(sweep, folder, cores=2, log=tmp_path / "log")
    assert_same_bits(results(folder), reference)


@pytest.mark.parametrize(
    "changes",
    [
        {"instances": 4000},
        {"N": [512], "snapshots": {"instances": 8, "starts": 2}},
        {"cluster": {"kind": "local", "workers": 1}},
        {"cluster": {"kind": "slurm"}},
        {"dynamics": {"kind": "descent", "learning_rate": 1e-3}},
        {"t_max": 1e4},
        {"starts": SWEEP["starts"][:1], "precision": {"alpha_50": 0.1, "core_hours": 0.001}},
    ],
)
def test_long_sweeps_and_those_that_name_a_cluster_have_workers(make_sweep, changes):
    assert not computed_here(make_sweep(**SWEEP | changes))


def test_same_bits_for_a_sweep_that_grew(run_sweep, reference, tmp_path):
    run_sweep(tmp_path, instances=2, starts=SWEEP["starts"][:1], alpha=[4])
    found = results(run_sweep(tmp_path, **SWEEP))
    assert_same_bits(found, reference)


UNABLE_TO_START = """
from phasepipe.execution import cluster, forking
from phasepipe.specification.cluster import LocalCluster

forking.WORKER_ENVIRONMENT["PYTHONHOME"] = "/nowhere"
if __name__ == "__main__":
    try:
        cluster.connect(LocalCluster(workers=1)).__enter__()
    except cluster.ClusterError as error:
        print(error)
"""


def test_workers_that_do_not_start_are_reported_in_one_sentence():
    """In a process of its own, because Dask leaves what it sets for such workers in the environment."""
    ended = subprocess.run(
        [sys.executable, "-c", UNABLE_TO_START], capture_output=True, text=True, timeout=120, check=False
    )
    assert "the workers on this machine did not start" in ended.stdout
    assert "run the same command again" in ended.stdout


def test_an_existing_scheduler_by_its_file(client, tmp_path):
    file = tmp_path / "scheduler.json"
    write_scheduler_file(client, file)
    with connect(SchedulerFile(kind="scheduler_file", path=str(file))) as other:
        assert other.submit(lambda x: x + 1, 1).result() == 2
        assert other.id != client.id
    assert client.submit(lambda x: x + 2, 1).result() == 3  # the cluster outlives its visitors


def test_a_scheduler_file_that_cannot_be_written_is_refused(client, tmp_path):
    with pytest.raises(ClusterError, match=r"cannot be written \(No such file or directory\)"):
        write_scheduler_file(client, tmp_path / "no_folder" / "scheduler.json")


def test_a_missing_scheduler_file_is_refused_at_once(tmp_path):
    start = time.monotonic()
    spec = SchedulerFile(kind="scheduler_file", path=str(tmp_path / "none.json"))
    with pytest.raises(ClusterError, match=r"none\.json' does not exist; .*phasepipe cluster"), connect(spec):
        pytest.fail("connected to nothing")
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", "no json", '{"address": "tls://127.0.0.1:1", "credentials": {"ca": "x"}}']
)
def test_a_broken_scheduler_file_is_refused(tmp_path, content):
    (tmp_path / "broken.json").write_text(content)
    spec = SchedulerFile(kind="scheduler_file", path=str(tmp_path / "broken.json"))
    with pytest.raises(ClusterError, match=r"broken\.json") as refused, connect(spec):
        pytest.fail("connected to nothing")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("shape", "limits"),
    [((64, [128, 288], 16), (2, 64)), ((2048, [8192], 16), (1, 1)), ((16, [16], 5000), (1, 1))],
)
def test_a_block_lasts_a_few_seconds(shape, limits):
    assert limits[0] <= instances_per_block(*shape) <= limits[1]


def test_a_block_stays_within_half_of_its_worker():
    free = instances_per_block(64, [128, 256], 16)
    assert free > 4
    memory = 2 * block_bytes(64, 256, 16, free // 2) + 1
    assert instances_per_block(64, [128, 256], 16, memory=memory) == free // 2
    assert instances_per_block(4096, [16384], 16, memory=1e9) == 1


def test_the_longest_runs_decide_how_many_instances_make_a_block():
    near, beyond = (instances_per_block(512, [round(alpha * 512)], 16) for alpha in (2.5, 6))
    assert near < beyond
    assert instances_per_block(512, [1280, 3072], 16) == near


def test_blocks_near_the_transition_are_expected_to_last_longest():
    seconds = {alpha: block_seconds(256, int(alpha * 256), 100) for alpha in (1.5, 2, 2.5, 3, 6)}
    assert max(seconds, key=seconds.get) == 2.5
    assert block_seconds(256, 640, 200) == pytest.approx(2 * seconds[2.5])


def test_the_memory_of_a_worker_is_known_or_unlimited():
    assert worker_memory(LocalCluster(workers=4)) == pytest.approx(worker_memory(LocalCluster(workers=1)) / 4)
    assert worker_memory(SlurmCluster(kind="slurm", cores=4, memory="8GB")) == 2e9
    assert worker_memory(SchedulerAddress(kind="address", address="tcp://10.0.0.1:8786")) == float("inf")


def test_the_estimated_memory_covers_what_a_block_takes(run_sweep, client, tmp_path):
    """Peak of a real worker after real blocks, against the estimate for the largest of them."""
    sizes = {"N": [256], "alpha": [4], "instances": 8, "block_instances": 8, "t_max": 0.5}
    run_sweep(tmp_path, starts=[{"kind": "random", "count": 16}], **sizes)
    assert max(client.run(_peak_bytes).values()) < 1.3 * block_bytes(256, 1024, 16, 8)


def _peak_bytes():
    # getrusage would count what the parent of the worker held when it started it
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]  # noqa: SIM115
    return 1024 * int(line.split()[1])


def test_a_worker_that_is_killed_while_it_writes_leaves_nothing(run_sweep, tmp_path, monkeypatch):
    def compute_and_lose_a_worker(*arguments):
        compute_blocks(*arguments)
        for store in tmp_path.glob("small/*/N12.zarr"):
            left.append(store.with_suffix(".unpacked") / ".0-0-0.block.0123abcd-1-01234567")
            left[-1].parent.mkdir(exist_ok=True)
            left[-1].write_bytes(b"half")

    left = []
    monkeypatch.setattr("phasepipe.execution.filling.compute_blocks", compute_and_lose_a_worker)
    folder = run_sweep(tmp_path)
    assert {draft.parts[-3] for draft in left} == {"instances", "runs"}
    assert not list(folder.root.rglob("*.unpacked"))
