"""One writer at a time; a dead one is recognised."""

import json
import os
import socket
import subprocess
import sys

import pytest

from phasepipe.store.lock import StoreLockedError, exclusive

HOLD = """
import sys
from pathlib import Path
from phasepipe.store.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "runs" / "N12.lock"


@pytest.fixture
def holder(lock):
    """Another process that holds the lock until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def write_lock(lock, **owner):
    lock.parent.mkdir(exist_ok=True)
    here = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026-01-02T03:04:05+00:00"}
    lock.write_text(json.dumps(here | {"process_start": "1"} | owner))


def test_a_second_writer_is_refused_and_told_of_the_first(lock, holder):
    since = json.loads(lock.read_text())["since"]
    with pytest.raises(StoreLockedError) as refused, exclusive(lock):
        pytest.fail("two writers")
    message = str(refused.value)
    assert f"process {holder.pid} on {socket.gethostname()} since {since}" in message
    assert "\n" not in message
    assert lock.exists()
    assert [entry.name for entry in lock.parent.iterdir()] == [lock.name]
    holder.communicate()  # the first ends
    with exclusive(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_the_lock_of_a_killed_process_is_taken_over(lock, holder):
    holder.kill()
    holder.wait()
    assert lock.exists()
    with exclusive(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_a_reused_pid_is_not_taken_for_the_owner(lock):
    write_lock(lock, pid=os.getpid(), process_start="1")
    with exclusive(lock):
        assert json.loads(lock.read_text())["process_start"] != "1"


def test_another_host_is_never_declared_dead(lock):
    write_lock(lock, host="elsewhere")
    with pytest.raises(StoreLockedError, match="on elsewhere since 2026-01-02"), exclusive(lock):
        pytest.fail("two writers")


def test_one_process_does_not_take_the_lock_twice(lock):
    with exclusive(lock), pytest.raises(StoreLockedError, match=f"process {os.getpid()}"), exclusive(lock):
        pytest.fail("two writers")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": "me"}', "\0\0"])
def test_an_unreadable_lock_is_respected_and_named(lock, content):
    lock.parent.mkdir()
    lock.write_text(content)
    with pytest.raises(StoreLockedError, match=f"delete {lock}"), exclusive(lock):
        pytest.fail("two writers")


def test_the_lock_goes_at_the_end_also_after_an_error(lock):
    with exclusive(lock):
        assert lock.exists()
    assert not any(lock.parent.iterdir())
    with pytest.raises(RuntimeError), exclusive(lock):
        raise RuntimeError
    assert not any(lock.parent.iterdir())


def test_a_lock_that_somebody_else_took_is_left_alone(lock):
    with exclusive(lock):
        write_lock(lock, host="elsewhere")
    assert lock.exists()
