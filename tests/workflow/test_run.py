"""``phasepipe run`` in a folder without a clone: from init to a report, interrupted, killed, and refused."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import phasepipe as pp
from phasepipe.errors import SweepError
from phasepipe.results.compare import compare
from phasepipe.results.run import WorkflowFailedError
from phasepipe.store.folder import SweepFolder
from tests.processes import done, finish
from tests.workflow.conftest import ROOT, SWEEP

INTERRUPTED = (
    "phasepipe: interrupted; finished blocks are stored; run the same command again to compute the others"
)
# blocks of half a second, so that a signal meets some that are done and some that are not
SLOW = SWEEP | {
    "N": [24],
    "alpha": [1.5, 2, 2.5, 3],
    "instances": 6,
    "dynamics": {"kind": "descent", "learning_rate": 8e-4},
    "t_max": 3,
    "block_instances": 1,
}


def command(*arguments, cwd):
    return python("-m", "phasepipe", *arguments, cwd=cwd)


def python(*arguments, cwd):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # a background process ignores SIGINT, and its children would inherit this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_until(condition, process):
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "the condition was not reached in time"
        time.sleep(0.05)


def sentences(said):
    return [line for line in said.splitlines() if line.startswith("phasepipe: ")]


def test_interrupted_and_killed_runs_end_with_one_sentence_and_resume(tmp_path, configuration):
    slow = configuration(**SLOW)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(slow))
    arguments = ("run", "mine.yaml", "--cores", 1, "--until", "run_descent")
    before = 0
    for how in (
        lambda process: process.send_signal(signal.SIGINT),
        lambda process: os.killpg(process.pid, signal.SIGINT),  # Ctrl-C in a terminal
        lambda process: process.terminate(),
        lambda process: process.kill(),
    ):
        process = command(*arguments, cwd=tmp_path)
        wait_until(lambda: done(tmp_path) > before, process)  # noqa: B023
        how(process)
        began = time.monotonic()
        code, said = finish(process)
        assert time.monotonic() - began < 100
        assert before < done(tmp_path) < 48
        before = done(tmp_path)
        # after kill -9 it is the script that speaks
        assert sentences(said) == [INTERRUPTED], said
        assert "Traceback" not in said
        assert "Error in rule" not in said
        if code > 0:
            assert said.endswith(f"{INTERRUPTED}\n")
            assert not (tmp_path / "results/small/workflow.lock").exists()
        assert code in (128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGKILL)
    code, said = finish(command(*arguments, cwd=tmp_path))
    assert code == 0, said
    assert said.count("the last run of sweep 'small' was killed; its finished blocks are kept") == 1
    assert done(tmp_path) == 48
    log = (tmp_path / "results/small/logs/descent.log").read_text()
    assert f"{before} of 48 stored" in log
    # undisturbed, elsewhere, with another number of workers
    other = tmp_path / "other"
    other.mkdir()
    (other / "sweep.yaml").write_text(yaml.safe_dump(slow))
    code, said = finish(command("run", "--cores", 2, "--until", "run_descent", "--results", ".", cwd=other))
    assert code == 0, said
    found = compare(SweepFolder(tmp_path / "results/small"), SweepFolder(other / "small"), 0.01)
    assert found.verdict == "same bits", found


def test_the_workflow_of_a_sweep_from_python_ends_with_its_process(tmp_path, configuration):
    settings = configuration(**SLOW)["sweeps"]["small"]
    code = f"import phasepipe as pp; pp.sweep(name='small', cores=1, **{settings!r})"
    lock = tmp_path / "results/small/workflow.lock"
    before = 0
    for number in (signal.SIGKILL, signal.SIGINT):
        process = python("-c", code, cwd=tmp_path)
        wait_until(lambda: done(tmp_path) > before, process)  # noqa: B023
        process.send_signal(number)
        ended, said = finish(process)
        assert ended == -number, said
        end = time.monotonic() + 100
        while lock.exists():  # the workflow has not ended yet
            assert time.monotonic() < end
            time.sleep(0.1)
        assert before < done(tmp_path) < 48
        before = done(tmp_path)


MISTAKES = {
    "nothing here": (["run"], ["there is no sweep.yaml and no config/config.yaml here", "phasepipe init"]),
    "unknown name": (["run", "lost"], ["there is no sweep 'lost'; the sweeps are demo, hessian, tiny"]),
    "hostile name": (["run", "$(touch pwned)"], ["there is no sweep '$(touch pwned)'"]),
    "missing file": (["run", "lost.yaml"], ["lost.yaml cannot be read (No such file"]),
    "a folder": (["run", "./"], ["cannot be read (Is a directory)"]),
    "name not in the file": (
        ["run", "mine.yaml", "tiny"],
        ["there is no sweep 'tiny'; the sweeps are small"],
    ),
    "two names": (["run", "small", "tiny"], ["cannot both be names"]),
    "no cores": (
        ["run", "mine.yaml", "--cores", "0"],
        ["--cores 0 is not valid; give a number from 1, or all"],
    ),
    "negative cores": (["run", "mine.yaml", "--cores", "-2"], ["--cores -2 is not valid"]),
    "half a core": (["run", "mine.yaml", "--cores", "0.5"], ["--cores 0.5 is not valid"]),
    "unknown profile": (["run", "mine.yaml", "--profile", "lsf"], ["--profile lsf: ", "local or slurm"]),
    "unknown rule": (["run", "mine.yaml", "--until", "x"], ["--until x: ", "run_descent"]),
    "results in a file": (
        ["run", "mine.yaml", "--results", "mine.yaml"],
        ["mine.yaml/small cannot be written"],
    ),
    "results nowhere": (["run", "mine.yaml", "--results", ""], ["'' is not a file or folder"]),
    "results with braces": (["run", "mine.yaml", "--results", "a{b}"], ["contains braces"]),
    "handed twice": (["run", "mine.yaml", "--", "--config", "sweep=x"], ["--config cannot be handed"]),
    "another file handed": (["run", "mine.yaml", "--", "--configfile=x"], ["--configfile cannot be handed"]),
    "init again": (["init", "there"], ["there/sweep.yaml is already there, and nothing is overwritten"]),
    "init in a file": (["init", "mine.yaml"], ["mine.yaml is already there"]),
    "init below a file": (
        ["init", "mine.yaml/x"],
        ["mine.yaml/x/sweep.yaml cannot be written (Not a directory)"],
    ),
}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_sentence_and_touches_nothing(
    phasepipe, tmp_path, monkeypatch, configuration, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(configuration()))
    (tmp_path / "there").mkdir()
    (tmp_path / "there/sweep.yaml").write_text("mine")
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    code, _, err = phasepipe(*arguments)
    assert code == 1
    assert err.startswith("phasepipe: ")
    assert "\n" not in err
    for word in words:
        assert word in err
    assert {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")} == before


def test_a_folder_that_cannot_be_written_is_one_sentence(phasepipe, tmp_path, monkeypatch, configuration):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(configuration()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        os, "access", lambda path, _: Path(path).resolve() != tmp_path
    )  # root may write anywhere
    code, _, err = phasepipe("run", "mine.yaml", "--results", tmp_path.parent)
    assert (code, err) == (
        1,
        f"phasepipe: the current folder {tmp_path} cannot be written, and Snakemake keeps its records there; "
        "start in a folder of your own",
    )


def digests(folder):
    """SHA-256 of the values of every variable that a sweep stores."""
    return {
        (node.path, name): hashlib.sha256(np.ascontiguousarray(array.values).tobytes()).hexdigest()
        for node in pp.open_sweep(folder).leaves
        for name, array in node.dataset.variables.items()
        if array.dtype != object
    }


def test_from_an_empty_folder_to_a_report(finished, tmp_path, configuration):
    (tmp_path / "my sweeps.yaml").write_text(yaml.safe_dump(configuration(**SWEEP)))
    results = tmp_path / "2024 # not a comment: $(touch pwned)"
    arguments = ("run", "my sweeps.yaml", "--results", results)
    code, said = finish(command(*arguments, "--", "--keep-going", cwd=tmp_path))
    assert code == 1
    assert "contains a $ without the name of a variable" in said
    arguments = ("run", "my sweeps.yaml", "--results", tmp_path / "2024 # not a comment: 'x'")
    code, said = finish(command(*arguments, "--", "--keep-going", cwd=tmp_path))
    assert code == 0, said
    assert "'small' is valid: 16 runs at N = [12] (my sweeps.yaml)" in said
    assert said.splitlines()[-1].startswith(f"wrote {arguments[-1]}/small/report.html; ask the data with")
    # the bits of bare snakemake in a clone
    assert digests(arguments[-1] / "small") == digests(finished.results)
    assert len(digests(finished.results)) > 100
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        ".snakemake",
        arguments[-1].name,
    ]
    assert "Nothing to be done" in finish(command(*arguments, "--dry-run", cwd=tmp_path))[1]


def transitions(client):
    """Number of changes of the states of tasks that the scheduler has made."""
    return client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_counter)


def test_a_sweep_from_python_has_the_same_bits_on_the_workers_of_a_client(
    finished, tmp_path, monkeypatch, configuration, client
):
    monkeypatch.chdir(tmp_path)
    settings = configuration(**SWEEP)["sweeps"]["small"]
    settings["alpha"] = np.array(settings["alpha"])
    before = transitions(client)
    pp.sweep(name="small", client=client, **settings)
    assert digests("results/small") == digests(finished.results)
    assert transitions(client) > before
    assert {path.name for path in tmp_path.iterdir()} == {"results", ".snakemake"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alpha": None}, "key 'alpha' is missing"),
        ({"alpa": [2]}, "unknown key 'alpa'; did you mean 'alpha'?"),
        ({"alpha": [-2.0]}, "alpha.0 = -2.0 is not valid"),
        ({"loss": object()}, "loss = <object object .* cannot stand in a sweep file"),
        ({"name": "../up"}, "valid folder name"),
        ({"results": "mine.txt"}, "mine.txt/small cannot be written"),
        ({"name": [1]}, r"name = \[1\] is not text; use for example name='demo'"),
        ({"results": 1}, "results = 1 is not a folder"),
        ({"cores": 0}, "--cores 0 is not valid"),
        ({"client": "tcp://here:1"}, "client has no scheduler"),
    ],
)
def test_a_mistake_in_python_is_refused_before_anything_runs(
    tmp_path, monkeypatch, configuration, changes, reason
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    keys = {"name": "small", **configuration()["sweeps"]["small"], **changes}
    with pytest.raises(SweepError, match=reason):
        pp.sweep(**{key: value for key, value in keys.items() if value is not None})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failing_stage_raises_its_reason(tmp_path, monkeypatch, configuration):
    monkeypatch.chdir(tmp_path)
    settings = configuration(cluster={"kind": "scheduler_file", "path": "none.json"})["sweeps"]["small"]
    with pytest.raises(WorkflowFailedError, match=r"none.json"):
        pp.sweep(name="small", **settings)
    Path("mine.py").write_text("from phasepipe import Quartic as Loss\n")
    settings["loss"] = {"kind": "custom", "path": "mine.Loss", "directory": str(tmp_path)}
    with pytest.raises(WorkflowFailedError, match=r"none.json"):  # not that it runs the code of a module
        pp.sweep(name="other", **settings)
