"""The command line: what it says, and how it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from phasepipe.execution.cluster import connect
from phasepipe.execution.cost import block_seconds
from phasepipe.specification.cluster import SchedulerFile
from phasepipe.specification.configuration import load_sweep, schema
from phasepipe.stages.runs import layout
from phasepipe.store.block_store import BlockStore, write_block
from phasepipe.store.folder import SweepFolder
from phasepipe.store.lock import exclusive
from phasepipe.store.packing import pack

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path, configuration, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(configuration()))
    return path


def test_check_counts_the_runs(phasepipe, config):
    code, out, _ = phasepipe("check", "--config", config)
    assert code == 0
    assert "'small' is valid: 16 runs at N = [12]" in out
    assert not (config.parent / "results").exists()


def test_check_counts_what_refine_adds(phasepipe, config, configuration):
    cells = [{"N": 12, "alpha": 2, "instances": 10}, {"N": 12, "alpha": 3, "instances": 5}]
    config.write_text(yaml.safe_dump(configuration(refine=cells)))
    assert "is valid: 38 runs" in phasepipe("check", "--config", config)[1]


@pytest.mark.parametrize(
    ("results", "words"),
    [("", "is not a file or folder"), ("$NOT_SET/x", "variable NOT_SET"), ("a/{b}", "wildcards")],
)
def test_a_results_folder_that_cannot_be_is_refused(phasepipe, config, configuration, results, words):
    config.write_text(yaml.safe_dump(configuration() | {"results": results}))
    code, _, err = phasepipe("check", "--config", config)
    assert code == 1
    assert err.startswith("phasepipe: configuration: results")
    assert words in err


@pytest.mark.parametrize("results", ["~/x", "$SCRATCH/x", "${SCRATCH}/x"])
def test_a_results_folder_is_written_out(phasepipe, config, configuration, monkeypatch, tmp_path, results):
    place = tmp_path / "elsewhere"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("SCRATCH", str(place))
    (place / "x").write_text("a file where the folder should be")
    config.write_text(yaml.safe_dump(configuration() | {"results": results}))
    for command in (["check"], ["refine", "--budget", "10"]):
        code, _, err = phasepipe(*command, "--config", config)
        assert code == 1
        assert f"{place}/x/small cannot be written" in err


def test_the_shipped_sweeps_are_in_order(phasepipe, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert phasepipe("check", "tiny")[0] == 0


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        ("sweep: [", [], ["not valid YAML"]),
        (None, [], ["cannot be read"]),
        ({"N": []}, [], ["N is empty"]),
        ({}, ["other"], ["no sweep 'other'"]),
    ],
)
def test_check_refuses_in_one_sentence(phasepipe, config, configuration, content, arguments, words):
    if content is None:
        config.unlink()
    else:
        config.write_text(content if isinstance(content, str) else yaml.safe_dump(configuration(**content)))
    code, out, err = phasepipe("check", "--config", config, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("phasepipe: ")
    assert len(err.splitlines()) == 1
    for word in words:
        assert word in err


@pytest.mark.usefixtures("config")
def test_status_counts_done_and_pending(phasepipe, configuration):
    sweep = load_sweep(configuration())
    path = SweepFolder(Path("results/small")).store("runs", 12)
    block, *_ = BlockStore.prepare(path, sweep, layout(sweep, 12)).pending_blocks()
    write_block(path, block, {"outcome": [1, 1, 1, 2] * block.todo[block.todo].astype("uint8")})
    pack(path)
    code, out, _ = phasepipe("status", "results/small")
    assert code == 0
    rows = [line.replace("│", " ").split() for line in out.splitlines() if "│" in line]
    assert rows == [["12", "2", "4", "4", "0", "0.750"], ["12", "4", "0", "8", "0", "-"]]


@pytest.mark.usefixtures("config")
def test_status_is_watched_until_all_is_computed(configuration):
    sweep = load_sweep(configuration())
    path = SweepFolder(Path("results/small")).store("runs", 12)
    first, *others = BlockStore.prepare(path, sweep, layout(sweep, 12)).pending_blocks()
    fates = [1, 1, 1, 2] * first.todo[first.todo].astype("uint8")
    write_block(path, first, {"outcome": fates})
    pack(path)
    command = [sys.executable, "-c", "from phasepipe.cli import main; main()", "status", "--watch", "--every"]
    with subprocess.Popen([*command, "0.2", "results"], stdout=subprocess.PIPE, text=True) as watching:
        with pytest.raises(subprocess.TimeoutExpired):
            watching.wait(6)
        for block in others:
            write_block(path, block, {"outcome": fates})
            pack(path)
        out, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert "16 of 16 runs" in out
    assert out.count("0.750") == 2


@pytest.mark.usefixtures("config")
def test_status_shows_all_sweeps_and_who_writes(phasepipe, configuration):
    for name in ("one", "two"):
        settings = configuration(N=[12, 16] if name == "two" else [12])
        sweep = load_sweep({"sweep": name, "sweeps": {name: settings["sweeps"]["small"]}})
        folder = SweepFolder(Path("results") / name)
        path = folder.store("runs", 12)
        block, *_ = BlockStore.prepare(path, sweep, layout(sweep, 12)).pending_blocks()
        write_block(path, block, {"outcome": [1, 1, 1, 2] * block.todo[block.todo].astype("uint8")})
        pack(path)
    assert "left" not in phasepipe("status", "results")[1]
    with exclusive(path.with_suffix(".lock")):
        lock = path.with_suffix(".lock")
        ago = (datetime.now(UTC) - timedelta(seconds=100)).isoformat(timespec="seconds")
        lock.write_text(json.dumps(json.loads(lock.read_text()) | {"since": ago}))
        code, out, _ = phasepipe("status", "results")
    assert code == 0
    assert "results/one" in out
    assert "4 of 16 runs" in out
    assert "4 of 32 runs" in out
    # done: 4 runs at alpha = 2, in 100 s; to do: 4 more, 8 at alpha = 4, and N = 16, which is not begun
    ((seconds,),) = [re.findall(r"about (\d+) s left", out)]
    work = {(N, M): block_seconds(N, M, 1) for N in (12, 16) for M in (2 * N, 4 * N)}
    todo = 4 * work[12, 24] + 8 * (work[12, 48] + work[16, 32] + work[16, 64])
    assert float(seconds) == pytest.approx(100 * todo / (4 * work[12, 24]), rel=0.1)
    assert f"held by process {os.getpid()}" in " ".join(out.split())


def test_status_of_nothing_is_refused(phasepipe, tmp_path):
    code, _, err = phasepipe("status", tmp_path)
    assert code == 1
    assert "holds no sweep; give the folder of a sweep" in err


def test_schema_is_printed_whole(phasepipe):
    code, out, _ = phasepipe("schema")
    assert code == 0
    assert json.loads(out) == schema()


@pytest.mark.parametrize("arguments", [["dance"], ["check", "--colour"], ["export"], ["cluster"]])
def test_a_wrong_command_line_is_refused(phasepipe, arguments):
    code, _, err = phasepipe(*arguments)
    assert code == 2
    assert "Traceback" not in err


def test_cluster_refuses_what_somebody_else_holds_open(phasepipe, config, configuration):
    elsewhere = {"kind": "address", "address": "tcp://10.0.0.1:8786"}
    config.write_text(yaml.safe_dump(configuration(cluster=elsewhere)))
    code, _, err = phasepipe("cluster", "--scheduler-file", "x.json", "--config", config)
    assert code == 1
    assert "cluster.kind = address" in err


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_cluster_is_open_until_ended_and_leaves_nothing(config, configuration, ending):
    config.write_text(yaml.safe_dump(configuration(cluster={"kind": "local", "workers": 1})))
    command = [sys.executable, "-c", "from phasepipe.cli import main; main()", "cluster"]
    process = subprocess.Popen(
        [*command, "--scheduler-file", "cluster.json", "--config", str(config)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # a background job ignores Ctrl-C, and its children would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert "cluster is running" in process.stdout.readline()
        with connect(SchedulerFile(kind="scheduler_file", path="cluster.json")) as client:
            assert client.submit(lambda x: x + 1, 1).result(timeout=60) == 2
        os.killpg(process.pid, ending)  # what Ctrl-C in a terminal does: the workers hear it too
        said, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    assert "stopping the cluster" in said
    assert "Traceback" not in said
    assert not Path("cluster.json").exists()


def test_theory_names_the_band_and_the_complexity(phasepipe):
    code, said, _ = phasepipe("theory", "--a", "0.01", "--alpha", "3")
    assert code == 0
    for words in (
        "alpha threshold of the literature (1RSB)",
        "alpha where the most numerous marginal minima turn unstable",
        "complexity of the 1RSB states (negative: none)",
        "energy of the lowest marginal minima (complexity 0)",
    ):
        assert words in said


def test_commands_find_the_sweep_file_of_the_folder(phasepipe, tmp_path, monkeypatch, configuration):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(configuration() | {"results": "elsewhere"}))
    assert "'small' is valid: 16 runs at N = [12] (sweep.yaml)" in phasepipe("check")[1]
    assert phasepipe("sweeps")[1] == "small\n"
    assert "'small' has no runs yet" in phasepipe("refine", "--budget", "10")[2]
    assert "elsewhere holds no sweep" in phasepipe("status")[2]
    assert "'tiny' is valid" in phasepipe("check", "tiny")[1]
