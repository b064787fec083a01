"""The kinds of fault: each disturbs a running command or damages its stored results."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.chaos import inside
from tests.chaos.bench import Bench
from tests.chaos.commands import Forked
from tests.chaos.faults_of_commands import KINDS as OF_COMMANDS
from tests.chaos.faults_of_machines import KINDS as OF_MACHINES
from tests.chaos.kind import STORED, Kind, kill

_DEAD = 2**22 + 1  # larger than any process id


def kill_worker(bench: Bench) -> None:
    command = bench.start()
    bench.some_way(command)
    workers = command.workers()
    if workers:
        kill(workers[int(bench.rng.integers(len(workers)))])
    bench.ended(command)


def kill_workers(bench: Bench) -> None:
    command = bench.start()
    bench.some_way(command)
    for worker in command.workers():
        kill(worker)
    bench.ended(command)


def kill_script(bench: Bench) -> None:
    _signal_script(bench, signal.SIGKILL)


def terminate_script(bench: Bench) -> None:
    _signal_script(bench, signal.SIGTERM)


def interrupt_script(bench: Bench) -> None:
    _signal_script(bench, signal.SIGINT)


def _signal_script(bench: Bench, number: signal.Signals) -> None:
    command = bench.start()
    bench.some_way(command)
    script = command.script()
    if script is not None:
        with suppress(ProcessLookupError):
            os.kill(script, number)
    bench.ended(command)


def kill_workflow(bench: Bench) -> None:
    _signal_workflow(bench, signal.SIGKILL)


def terminate_workflow(bench: Bench) -> None:
    _signal_workflow(bench, signal.SIGTERM)


def interrupt_workflow(bench: Bench) -> None:
    _signal_workflow(bench, signal.SIGINT)


def _signal_workflow(bench: Bench, number: signal.Signals) -> None:
    command = bench.start()
    bench.some_way(command)
    with suppress(ProcessLookupError):
        os.kill(command.pid, number)
    bench.ended(command)


def kill_scheduler(bench: Bench) -> None:
    """Kill a cluster that ``phasepipe cluster`` keeps open, and start it again."""
    file = bench.place.root / "scheduler.json"
    cluster = {"kind": "scheduler_file", "path": file.name}
    holder = _hold_cluster(bench, file)
    command = bench.start(cluster)
    bench.some_way(command)
    holder.end()
    bench.ended(command)
    bench.expect(
        "solve the problem with the disk" not in bench.outputs[-1],
        "a lost scheduler was reported as a disk error",
    )
    file.unlink(missing_ok=True)
    holder = _hold_cluster(bench, file)
    bench.ended(bench.start(cluster), well=True)
    os.kill(holder.pid, signal.SIGTERM)
    bench.ended(holder)


def _hold_cluster(bench: Bench, file: Path) -> Forked:
    holder = Forked(bench.place, inside.phasepipe, "cluster", "--scheduler-file", file.name)
    bench.until(file.exists, "a cluster")
    return holder


def fill_disk(bench: Bench) -> None:
    with bench.own_disk() as disk:
        disk.leave_free(4096 * int(bench.rng.integers(0, 200)))
        bench.ended(bench.start())
        disk.remount("size=64m")


def make_read_only(bench: Bench) -> None:
    with bench.own_disk() as disk:
        command = bench.start()
        bench.some_way(command)
        for _ in range(200):  # the system refuses this while a file is open for writing
            if disk.remount("ro"):
                break
            time.sleep(0.01)
        bench.ended(command)
        disk.remount("rw")


def lose_permission(bench: Bench) -> None:
    """Make the folders of the stores immutable, also for root."""
    command = bench.start()
    bench.some_way(command)
    subprocess.run(["chattr", "-R", "+i", bench.place.folder.root], stderr=subprocess.DEVNULL, check=False)
    try:
        bench.ended(command)
    finally:
        subprocess.run(
            ["chattr", "-R", "-i", bench.place.folder.root], stderr=subprocess.DEVNULL, check=False
        )


def start_second(bench: Bench) -> None:
    first = bench.start()
    time.sleep(float(bench.rng.uniform(0, 0.5)))
    second = bench.start()
    codes = [bench.ended(command) for command in (first, second)]
    bench.expect(0 in codes, f"neither of two writers succeeded: {codes}")


def plant_lock(bench: Bench) -> None:
    """Create locks of a process that has ended, of a reused process id, or of an earlier boot."""
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026-01-02T03:04:05+00:00"}
    gone = [{"pid": _DEAD, "process_start": "1"}, {"process_start": "1"}, {"boot": "another"}]
    text = json.dumps(owner | gone[int(bench.rng.integers(len(gone)))])
    locks = ["workflow.lock", "instances/N16.lock", "runs/N16.lock"]
    for name in bench.rng.choice(locks, 2, replace=False):
        (bench.place.folder.root / name).write_text(text)
    bench.ended(bench.start(), well=True)


def poison(bench: Bench) -> None:
    """Simulate a block that needs too much memory: its worker is killed every time."""
    labels = [f"N16-{row}-{instance}-0" for row in (0, 1, 2) for instance in range(8)]
    before = bench.place.blocks()
    pending = [name for name in labels if f"runs/{name}" not in before]
    if not pending:
        return
    label = pending[int(bench.rng.integers(len(pending)))]
    command = bench.start(poisoned=label)
    code = bench.ended(command)
    bench.expect(
        code == 1 and "its worker was killed repeatedly" in command.output(),
        "the message does not name the cause",
    )
    lacking = {f"runs/{name}" for name in pending}
    bench.expect(lacking - bench.place.blocks().keys() == {f"runs/{label}"}, "other blocks were not computed")


def _some_file(bench: Bench, pattern: str = "*/N*.zarr/**/*") -> Path:
    root = bench.place.folder.root
    files = sorted(file for file in root.glob(pattern) if file.is_file())
    return files[int(bench.rng.integers(len(files)))]


def _flip(bench: Bench, file: Path) -> None:
    content = bytearray(file.read_bytes())
    at = int(bench.rng.integers(len(content)))
    content[at] ^= 1 << int(bench.rng.integers(8))
    _overwrite(bench, file, bytes(content), slice(at, at + 1))


def _truncate(bench: Bench, file: Path) -> None:
    content = file.read_bytes()
    at = int(bench.rng.integers(len(content)))
    _overwrite(bench, file, content[:at], slice(at, len(content)))


def _overwrite(bench: Bench, file: Path, content: bytes, changed: slice) -> None:
    bench.damaged(file, changed)
    file.write_bytes(content)


def flip_bit(bench: Bench) -> None:
    _flip(bench, _some_file(bench))


def delete_chunk(bench: Bench) -> None:
    file = _some_file(bench, "*/N*.zarr/*/c/**/*")
    bench.damaged(file, slice(0, file.stat().st_size))
    file.unlink()


def truncate_chunk(bench: Bench) -> None:
    _truncate(bench, _some_file(bench, "*/N*.zarr/*/c/**/*"))


def halve_metadata(bench: Bench) -> None:
    _truncate(bench, _some_file(bench, "*/N*.zarr/**/zarr.json"))


def flip_skeleton(bench: Bench) -> None:
    _flip(bench, _some_file(bench, "*/N*.skeleton.json"))


def damage_table(bench: Bench) -> None:
    (_flip, _truncate)[int(bench.rng.integers(2))](bench, _some_file(bench, "success.zarr/**/*"))


def damage_receipt(bench: Bench) -> None:
    file = _some_file(bench, "**/*.done")
    if file.stat().st_size and bench.rng.random() < 0.5:
        _truncate(bench, file)
    else:
        file.unlink()


KINDS = [
    Kind(
        "one worker killed",
        kill_worker,
        "Dask starts another worker; the block is computed again",
        "nothing",
        workers=True,
        weight=1.5,
    ),
    Kind(
        "all workers killed",
        kill_workers,
        "Dask starts other workers; the blocks are computed again",
        "nothing",
        workers=True,
        weight=1.5,
    ),
    Kind("script killed (kill -9)", kill_script, "finished blocks are kept", weight=2),
    Kind("script terminated (SIGTERM)", terminate_script, STORED),
    Kind("script interrupted (SIGINT)", interrupt_script, STORED),
    Kind(
        "workflow killed (kill -9)",
        kill_workflow,
        "its script stops by itself; the next workflow takes over the locks",
        stages=False,
        weight=3,
    ),
    Kind("workflow terminated (SIGTERM)", terminate_workflow, STORED, stages=False, weight=2),
    Kind("workflow interrupted (SIGINT)", interrupt_workflow, STORED, stages=False, weight=2),
    Kind(
        "external scheduler killed",
        kill_scheduler,
        STORED,
        "start the scheduler, then the same command",
        workflow=False,
        workers=True,
    ),
    Kind("disk full", fill_disk, STORED, "free space, then the same command"),
    Kind("disk read-only", make_read_only, STORED, "make it writable, then the same command"),
    Kind("permission lost", lose_permission, STORED, "restore the permission, then the same command"),
    Kind("second writer", start_second, "it waits briefly, then ends with one sentence", "nothing"),
    Kind("stale lock", plant_lock, "the command takes over the lock", "nothing"),
    Kind(
        "block that kills its worker",
        poison,
        "all other blocks are computed; the error names the block and its memory",
        "fewer workers, then the same command",
        workflow=False,
        workers=True,
    ),
    Kind(
        "bit flipped in a store",
        flip_bit,
        "reading it raises an error",
        "phasepipe verify, then the same command",
        verified=True,
        weight=2.5,
    ),
    Kind(
        "chunk deleted",
        delete_chunk,
        "verify finds it",
        "phasepipe verify, then the same command",
        verified=True,
    ),
    Kind(
        "chunk truncated",
        truncate_chunk,
        "reading it raises an error",
        "phasepipe verify, then the same command",
        verified=True,
    ),
    Kind(
        "metadata half-written",
        halve_metadata,
        "restored from the metadata copy",
        "phasepipe verify, then the same command",
        verified=True,
    ),
    Kind(
        "copy of metadata damaged",
        flip_skeleton,
        "written again",
        "phasepipe verify, then the same command",
        verified=True,
    ),
    Kind(
        "table damaged", damage_table, "made again", "phasepipe verify, then the same command", verified=True
    ),
    Kind("receipt damaged or lost", damage_receipt, "the stage finds that nothing is missing", stages=False),
    *OF_COMMANDS,
    *OF_MACHINES,
]
