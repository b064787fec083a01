"""One writer at a time; a dead one is recognised, one that cannot be seen is not called dead."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import pairwise

import pytest

from phasepipe.log import logger
from phasepipe.store import process
from phasepipe.store.atomic import draft_of, replace_bytes
from phasepipe.store.lock import StoreLockedError, exclusive, holder
from phasepipe.store.process import identity_of_this_process

HOLD = """
import sys
from pathlib import Path
from phasepipe.store.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
# another pid namespace, as a container has: everything else, also the name of the host, is the same
CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
NOBODY = 65534


def can(command):
    return (
        shutil.which(command[0]) and subprocess.run([*command, "true"], capture_output=True).returncode == 0
    )


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "runs" / "N12.lock"


@pytest.fixture
def hold(lock):
    """Starts another process that holds the lock until its standard input is closed."""
    with ExitStack() as started:

        def start(before=()):
            command = [*before, sys.executable, "-c", HOLD, str(lock)]
            held = started.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            started.callback(held.kill)
            assert held.stdout.readline() == "held\n"
            return held

        yield start


def write_lock(lock, **owner):
    lock.parent.mkdir(exist_ok=True)
    here = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026-01-02T03:04:05+00:00"}
    lock.write_text(json.dumps(here | {"process_start": "1"} | owner))


def refused(lock, **options):
    with pytest.raises(StoreLockedError) as refusal, exclusive(lock, **options):
        pytest.fail("two writers")
    message = str(refusal.value)
    assert "\n" not in message
    return message


def test_a_second_writer_is_refused_and_told_of_the_first(lock, hold):
    first = hold()
    since = json.loads(lock.read_text())["since"]
    message = refused(lock)
    assert f"process {first.pid} of " in message
    assert f"on {socket.gethostname()} since {since}" in message
    assert [entry.name for entry in lock.parent.iterdir()] == [lock.name]
    first.communicate()  # the first ends
    with exclusive(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_the_lock_of_a_killed_process_is_taken_over(lock, hold):
    first = hold()
    first.kill()
    first.wait()
    assert lock.exists()
    assert holder(lock) is None
    with exclusive(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_a_reused_pid_is_not_taken_for_the_owner(lock):
    write_lock(lock, pid=os.getpid(), process_start="1")
    with exclusive(lock):
        assert json.loads(lock.read_text())["process_start"] != "1"


def test_another_host_is_never_declared_dead(lock):
    write_lock(lock, host="elsewhere")
    assert "on elsewhere since 2026-01-02" in refused(lock)


def test_one_process_does_not_take_the_lock_twice(lock):
    with exclusive(lock):
        assert f"process {os.getpid()}" in refused(lock)


@pytest.mark.skipif(not can(CONTAINER), reason="needs to make pid namespaces")
def test_a_holder_in_another_container_is_alive_until_it_ends(lock, hold):
    first = hold(CONTAINER)
    owner = json.loads(lock.read_text())
    assert owner["namespace"] != identity_of_this_process()["namespace"]
    assert f"process {owner['pid']}" in refused(lock)
    assert holder(lock)["pid"] == owner["pid"]
    first.kill()  # with it, all of the container
    first.wait()
    time.sleep(0.5)
    with exclusive(lock):  # nobody holds its flock: it is gone, whatever can be seen
        pass


def test_without_flock_a_holder_in_another_container_is_never_called_dead(lock):
    here = identity_of_this_process()
    write_lock(lock, **here | {"pid": 2**22 + 1, "namespace": "pid:[1]", "flock": False})
    assert f"process {2**22 + 1}" in refused(lock)
    write_lock(lock, **here | {"pid": 2**22 + 1, "flock": False})
    with exclusive(lock):
        pass


def test_a_holder_whose_details_are_hidden_is_alive(lock, monkeypatch):
    write_lock(lock, **identity_of_this_process() | {"pid": 1, "process_start": "1", "flock": False})
    read_text = process.Path.read_text

    def hiding(path, *arguments, **options):
        if str(path).startswith("/proc/1/"):
            raise FileNotFoundError  # as hidepid=2 does
        return read_text(path, *arguments, **options)

    monkeypatch.setattr(process.Path, "read_text", hiding)
    assert "process 1 " in refused(lock)


def test_the_lock_of_an_earlier_boot_is_taken_over(lock):
    write_lock(lock, **identity_of_this_process() | {"boot": "another"})
    with exclusive(lock):
        pass


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": "me"}', "\0\0", '"\udcff"'])
def test_an_unreadable_lock_that_nobody_holds_is_taken_over(lock, content, monkeypatch):
    said = []
    monkeypatch.setattr(logger, "warning", lambda text, *values: said.append(text % values))
    lock.parent.mkdir()
    lock.write_bytes(content.encode(errors="surrogateescape"))
    os.utime(lock, (time.time() - 60,) * 2)
    with exclusive(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert said == [f"{lock} does not name its owner, and no process holds it: taking it over"]


def test_an_unreadable_lock_that_somebody_holds_is_respected(lock, hold):
    hold()
    lock.write_text("")
    os.utime(lock, (time.time() - 60,) * 2)
    assert f"does not name; wait for it, end it, or delete {lock}" in refused(lock)


def test_a_lock_file_in_the_making_is_waited_for(lock):
    lock.parent.mkdir()
    lock.write_text("")
    os.utime(lock, (time.time() - 9,) * 2)
    before = time.monotonic()
    with exclusive(lock):
        assert time.monotonic() - before > 0.5


def test_the_lock_works_without_hard_links(lock, hold, monkeypatch):
    def link(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with exclusive(lock):
        assert json.loads(lock.read_text())["flock"]
        assert "process" in refused(lock)
    first = hold()
    assert f"process {first.pid}" in refused(lock)
    first.kill()
    first.wait()
    with exclusive(lock):
        pass
    assert not any(lock.parent.iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become another user")
def test_the_files_of_another_user_are_one_sentence(lock, hold, tmp_path):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder != folder.parent and folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    lock.parent.mkdir()
    assert f"StoreLockedError {lock.parent} cannot be written by nobody" in as_nobody(lock)
    first = hold()
    assert f"process {first.pid} of root" in as_nobody(lock)
    lock.parent.chmod(0o777)  # a folder of the group, with files that only their owner may write
    assert f"process {first.pid} of root" in as_nobody(lock)
    first.kill()
    first.wait()
    assert as_nobody(lock) == "taken"


def as_nobody(lock):
    """What another user gets who asks for the lock."""
    code = (
        "import os, sys; from pathlib import Path; from phasepipe.store.lock import exclusive\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "try:\n    with exclusive(Path(sys.argv[1])): print('taken', end='')\n"
        "except Exception as error: print(type(error).__name__, error, end='')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(lock)], capture_output=True, text=True, check=True)
    return done.stdout


def test_of_many_that_find_a_dead_owner_one_takes_over(lock):
    code = (
        "import sys, time; from pathlib import Path; from phasepipe.store.lock import *\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "try:\n"
        "    with exclusive(Path(sys.argv[1])):\n"
        "        began = time.time(); time.sleep(1.5); print(began, time.time())\n"
        "except StoreLockedError: pass"
    )
    write_lock(lock, **identity_of_this_process() | {"boot": "another"})
    at = str(time.time() + 3)
    command = [sys.executable, "-c", code, str(lock), at]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    held = sorted(
        tuple(map(float, said.split())) for said, _ in (racer.communicate() for racer in racers) if said
    )
    assert held
    # on a busy machine one may come when the first has ended; never before
    assert all(ended <= began for (_, ended), (began, _) in pairwise(held))


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


def test_a_lock_goes_also_if_the_process_has_left_its_folder(lock, monkeypatch):
    lock.parent.mkdir()
    monkeypatch.chdir(lock.parent.parent)
    with exclusive(lock.relative_to(lock.parent.parent)):
        monkeypatch.chdir("/")
    assert not lock.exists()


def test_drafts_of_killed_writers_go_and_those_of_others_stay(lock):
    lock.parent.mkdir()
    dead, other = draft_of(lock), draft_of(lock)
    dead = dead.with_name(dead.name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-"))
    dead.write_text("half")
    other.write_text("half")
    replace_bytes(lock, b"whole")
    assert sorted(lock.parent.iterdir()) == sorted([lock, other])


@pytest.mark.parametrize(
    "place",
    [
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to("/dev/zero"),
    ],
    ids=["folder", "pipe", "dangling link", "device"],
)
def test_what_is_no_file_is_no_lock(lock, place):
    lock.parent.mkdir()
    place(lock)
    for ask in (lambda: holder(lock), lambda: exclusive(lock).__enter__()):
        with pytest.raises(StoreLockedError, match=r"is no file, and so no lock of phasepipe; remove it"):
            ask()
    assert os.path.lexists(lock)
