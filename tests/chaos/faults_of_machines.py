"""Faults of the machine: power, memory, inodes, disk, network, clock, and containers that look alike."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress

from tests.chaos.bench import Bench
from tests.chaos.commands import Workflow
from tests.chaos.kind import STORED, Kind, kill
from tests.chaos.place import CGROUP, Clock, Image

_OWN_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
_OWN_PROCESSES = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def cut_power(bench: Bench) -> None:
    """Copy the image of a file system while a sweep writes to it, and go on with the copy."""
    options = str(bench.rng.choice(["data=ordered", "data=writeback"]))
    with Image(bench.place.root / "disk.img", bench.place.root / "disk", options) as image:
        bench.move_results(image.folder / "results")
        image.sync()
        kept = dict(bench.kept)
        command = bench.start()
        bench.some_way(command)
        image.copy_to(bench.place.root / "cut.img")
        for worker in command.workers():
            kill(worker)
        with suppress(ProcessLookupError):
            os.kill(command.pid, signal.SIGKILL)
        bench.ended(command)
        command.end()
        bench.forget_results()
    # the last blocks before the cut may be lost with it, those of earlier commands may not
    bench.kept = kept
    with Image(bench.place.root / "cut.img", bench.place.root / "disk", options) as image:
        shutil.copytree(image.folder / "results", bench.place.results)


def run_out_of_memory(bench: Bench) -> None:
    """Let the kernel kill a worker that exceeds the memory of its cgroup."""
    command = bench.start()
    bench.some_way(command)
    group = CGROUP / f"chaos-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(2**20))
        for worker in command.workers()[:1]:
            with suppress(OSError):
                (group / "cgroup.procs").write_text(str(worker.pid))
        bench.ended(command)
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        bench.until(lambda: not (group / "cgroup.procs").read_text(), "empty cgroup")
        group.rmdir()


def exhaust_inodes(bench: Bench) -> None:
    with bench.own_disk() as disk:
        disk.leave_inodes(int(bench.rng.integers(0, 400)))
        bench.ended(bench.start())
        disk.remount("nr_inodes=100000")


def fail_at_random(bench: Bench) -> None:
    """Let file operations below the results fail now and then with EIO, ESTALE, EDQUOT or ENOSPC."""
    for share in (0.003, 0.02):
        command = bench.start(failing=(share, int(bench.rng.integers(2**31))))
        bench.ended(command)


def cut_network(bench: Bench) -> None:
    """Take the network between scheduler and workers away for seconds."""
    command = bench.start(wrap=_OWN_NETWORK)
    bench.some_way(command)
    script = command.script()
    if script is not None:
        enter = ["nsenter", "--net", "--target", str(script), "ip", "link", "set", "lo"]
        subprocess.run([*enter, "down"], check=False, stderr=subprocess.DEVNULL)
        time.sleep(float(bench.rng.uniform(0.5, 10)))
        subprocess.run([*enter, "up"], check=False, stderr=subprocess.DEVNULL)
    bench.ended(command)


def jump_clock(bench: Bench) -> None:
    """Set the clock that the processes see forwards or backwards; new workers must still be accepted."""
    clock = Clock(bench.place.root)
    command = bench.start(environment=clock.environment())
    bench.some_way(command)
    clock.jump(int(bench.rng.choice([-1, 1])) * int(10 ** bench.rng.uniform(1, 7.5)))
    for worker in command.workers()[:1]:
        kill(worker)
    bench.ended(command, well=True)


def start_in_two_containers(bench: Bench) -> None:
    """Start the command in two containers, whose processes have the same numbers and host name."""
    first = bench.start(wrap=_OWN_PROCESSES)
    bench.some_way(first)
    second = bench.start(wrap=_OWN_PROCESSES)
    code = bench.ended(second)
    running = first.wait(0) is None
    bench.expect(code == 1 or not running, "a second container wrote into the same folder")
    with suppress(ProcessLookupError):
        os.kill(first.pid, signal.SIGKILL)
    bench.ended(first)
    third = bench.start(wrap=_OWN_PROCESSES)
    bench.ended(third, well=True)
    assert isinstance(third, Workflow)


KINDS = [
    Kind(
        "power cut (ext4 image)",
        cut_power,
        "blocks of the last moments may be lost, earlier ones are kept",
        workflow=False,
        weight=3,
    ),
    Kind(
        "out of memory (cgroup)",
        run_out_of_memory,
        "the kernel kills a worker; Dask starts another",
        "nothing",
        workflow=False,
        workers=True,
    ),
    Kind("no inodes", exhaust_inodes, STORED, "free some, then the same command"),
    Kind("EIO, ESTALE, EDQUOT, ENOSPC at random", fail_at_random, STORED, workflow=False, weight=2),
    Kind(
        "network cut for seconds",
        cut_network,
        "workers connect again, or " + STORED,
        stages=False,
        workers=True,
    ),
    Kind("clock jumped", jump_clock, "nothing", "nothing", stages=False),
    Kind(
        "two containers with equal names",
        start_in_two_containers,
        "the second ends with one sentence",
        "nothing",
        stages=False,
    ),
]
