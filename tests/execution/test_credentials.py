"""Nobody but the owner of a cluster can use it: tried as another account of the same machine."""

import json
import os
import subprocess
import sys
import urllib.request

import psutil
import pytest

from phasepipe.execution.cluster import write_scheduler_file
from phasepipe.execution.credentials import Credentials, make_credentials, on_shared_disk

_NOBODY = 65534

# prepares all as root, since another account may not read the modules; tries as the account
_INTRUDER = """
import asyncio, json, os, ssl, sys
from distributed.core import connect, rpc
from phasepipe.execution.cluster import connect as connect_to_cluster
from phasepipe.execution.credentials import make_credentials
from phasepipe.specification.cluster import SchedulerFile

account, file, *addresses = sys.argv[1:]
spec = SchedulerFile(kind="scheduler_file", path=file)
seen = {}

def attempt(name, action):
    try:
        seen[name] = repr(action())
    except Exception as error:
        seen[name] = type(error).__name__

def ask(address, **arguments):
    async def identity():
        comm = await connect(address, timeout=3, **arguments)
        await comm.write({"op": "identity", "reply": True})
        return (await comm.read())["type"]
    return asyncio.run(identity())

def with_file():
    with connect_to_cluster(spec) as client:
        return client.submit(os.getuid).result()

def try_all(arguments):
    for number, address in enumerate(addresses):
        attempt(f"{number} plain", lambda: ask(address.replace("tls", "tcp")))
        for name, given in arguments.items():
            attempt(f"{number} {name}", lambda: ask(address, **given))

with connect_to_cluster(spec) as client:
    right = client.security.get_connection_args("client")
own = make_credentials().security().get_connection_args("client")
anonymous = {"ssl_context": ssl._create_unverified_context()}
arguments = {"own certificate": own, "no certificate": anonymous}
try_all(arguments | {"right": right})
control = {name: answer for name, answer in seen.items() if name.endswith("right")}
seen.clear()
os.setgroups([])
os.setgid(int(account))
os.setuid(int(account))
os.chdir("/")
try_all(arguments)
attempt("read", lambda: open(file).read())
attempt("file", with_file)
print(json.dumps({"seen": seen, "control": control}))
"""


@pytest.fixture
def intrude(client, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    for open_to_all in (folder, *folder.parents[:2]):
        open_to_all.chmod(0o755)  # only the file itself keeps others out
    file = folder / "scheduler.json"
    write_scheduler_file(client, file)

    def run(account, *addresses):
        ended = subprocess.run(
            [sys.executable, "-c", _INTRUDER, str(account), str(file), *addresses],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return json.loads(ended.stdout)

    return run


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another account")
def test_another_account_can_neither_connect_nor_read_the_credentials(client, intrude):
    worker = next(iter(client.scheduler_info()["workers"]))
    found = intrude(_NOBODY, client.scheduler.address, worker)
    assert found["control"] == {"0 right": "'Scheduler'", "1 right": "'Worker'"}  # the question has an answer
    seen = found["seen"]
    assert seen.pop("read") == "PermissionError"
    assert seen.pop("file") == "ClusterError"
    assert len(seen) == 6
    assert set(seen.values()) <= {"OSError", "CommClosedError", "FatalCommClosedError"}, seen


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another account")
def test_the_owner_needs_the_scheduler_file_alone(client, intrude):
    seen = intrude(0, client.scheduler.address)["seen"]
    assert seen["file"] == "0"
    assert "BEGIN PRIVATE KEY" in seen["read"]


@pytest.mark.usefixtures("client")
def test_no_port_of_a_local_cluster_offers_pages():
    mine = psutil.Process()
    ports = {
        connection.laddr.port
        for process in (mine, *mine.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == "LISTEN"
    }
    assert len(ports) >= 3  # of the scheduler and of two workers
    for port in ports:
        for page in ("info/main/workers.html", "health", "metrics", "json/counts.json", "proxy/22/127.0.0.1"):
            with pytest.raises(OSError, match=r"404|reset|closed|refused|status"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5)


def test_files_with_credentials_are_for_their_owner_alone(client, tmp_path):
    umask = os.umask(0)
    try:
        write_scheduler_file(client, tmp_path / "scheduler.json")
        with on_shared_disk(make_credentials(), tmp_path / "jobs") as shared:
            files = [tmp_path / "scheduler.json", *(tmp_path / "jobs").iterdir()]
            assert len(files) == 2
            assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
            assert shared.security().get_connection_args("worker")["require_encryption"]
    finally:
        os.umask(umask)
    assert not list((tmp_path / "jobs").iterdir())


def test_no_command_line_and_no_environment_shows_the_key(client):
    key = Credentials.of(client).key.splitlines()[1]
    for process in psutil.Process().children(recursive=True):
        assert key not in " ".join(process.cmdline())
        assert key not in " ".join(process.environ().values())
