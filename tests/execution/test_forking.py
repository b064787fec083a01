"""Workers of this machine are forked from a process that is ready before them; jobs end at once."""

import signal
import subprocess
import sys

import psutil
import pytest

from phasepipe.execution.cluster import connect
from phasepipe.execution.forking import METHOD
from phasepipe.specification.cluster import LocalCluster

pytestmark = pytest.mark.skipif(METHOD != "forkserver", reason="workers are not forked on this system")


def test_workers_share_a_process_of_one_thread_that_has_imported_what_they_need(client):
    def seen(dask_worker):
        del dask_worker
        this = psutil.Process()
        return this.ppid(), "phasepipe.stages.runs" in sys.modules

    found = client.run(seen)
    assert len(found) == 2
    ((server, imported),) = set(found.values())
    assert imported
    assert psutil.Process(server).num_threads() == 1


def test_workers_ignore_an_interrupt_that_a_terminal_sends_to_all(client):
    found = client.run(lambda: signal.getsignal(signal.SIGINT))
    assert set(found.values()) == {signal.SIG_IGN}


JOB = """
import atexit
import sys

class Slow:
    def __del__(self):
        print("taken apart")

kept = Slow()
atexit.register(print, "at exit")
sys.stdout.write("said ")
from phasepipe.execution.short_process import end_job
end_job()
"""


def test_a_job_ends_with_success_and_all_that_it_said_but_takes_nothing_apart():
    ended = subprocess.run(
        [sys.executable, "-c", JOB], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "said at exit\n"


KILLED = """
import os, signal, sys
from phasepipe.execution.cluster import connect
from phasepipe.specification.cluster import LocalCluster

if __name__ == "__main__":
    with connect(LocalCluster(workers=1)) as client:
        print(*client.run(os.getpid).values(), *client.run(os.getppid).values(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_process_survives_the_kill_of_the_one_that_started_it():
    ended = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    started = [int(pid) for pid in ended.stdout.split()]
    assert len(started) == 2
    left = [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)]
    assert not psutil.wait_procs(left, timeout=10)[1]


def test_a_worker_that_dies_is_forked_again(client):
    del client  # beside it
    with connect(LocalCluster(workers=1)) as other:
        (before,) = other.run(_pid).values()
        psutil.Process(before).kill()
        assert other.submit(_pid, pure=False).result(timeout=30) != before


def _pid():
    return psutil.Process().pid
