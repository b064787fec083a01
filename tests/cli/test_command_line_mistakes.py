"""Every mistake on the command line: a non-zero exit code, one sentence, nothing touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from phasepipe.cli import main
from phasepipe.specification.configuration import load_sweep
from phasepipe.stages.runs import layout
from phasepipe.store.block_store import BlockStore, write_block
from phasepipe.store.folder import SweepFolder
from phasepipe.store.packing import pack

LATER = {"kind": "scheduler_file", "path": "none.json"}

MISTAKES = {
    # what typer refuses, with exit code 2
    "unknown command": (["dance"], ["dance"]),
    "unknown command near one": (["chek"], ["chek"]),
    "unknown option": (["check", "--colour"], ["--colour"]),
    "one argument too many": (["check", "small", "other"], ["other"]),
    "verify of nothing": (["verify"], ["Missing argument 'results'"]),
    "compare with nothing": (["compare", "results/small"], ["Missing argument 'second'"]),
    "sample is a word": (["verify", "results/small", "--sample", "few"], ["--sample", "integer"]),
    "sample is half": (["verify", "results/small", "--sample", "1.5"], ["--sample", "integer"]),
    "negative sample": (["verify", "results/small", "--sample", "-1"], ["--sample"]),
    "level is a word": (
        ["compare", "results/small", "results/small", "--level", "low"],
        ["--level", "number"],
    ),
    "level 0": (["compare", "results/small", "results/small", "--level", "0"], ["--level"]),
    "level 2": (["compare", "results/small", "results/small", "--level", "2"], ["--level"]),
    "level nan": (["compare", "results/small", "results/small", "--level", "nan"], ["--level"]),
    "refine without budget": (["refine"], ["--budget"]),
    "budget is a word": (["refine", "--budget", "much"], ["--budget", "number"]),
    "budget 0": (["refine", "--budget", "0"], ["--budget"]),
    "negative budget": (["refine", "--budget", "-5"], ["--budget"]),
    "budget nan": (["refine", "--budget", "nan"], ["--budget"]),
    "budget infinite": (["refine", "--budget", "inf"], ["--budget"]),
    "a is a word": (["theory", "--a", "small"], ["--a", "number"]),
    "a without value": (["theory", "--a"], ["--a"]),
    "points are a word": (["phase-diagram", "--to", "figures", "--points", "many"], ["--points", "integer"]),
    "points 0": (["phase-diagram", "--to", "figures", "--points", "0"], ["points"]),
    "points negative": (["phase-diagram", "--to", "figures", "--points", "-3"], ["points"]),
    "too many points": (
        ["phase-diagram", "--to", "figures", "--points", "100000000"],
        ["--points 100000000", "at most 10000"],
    ),
    "one point": (["phase-diagram", "--to", "figures", "--points", "1"], ["points"]),
    "phase diagram to nowhere": (["phase-diagram"], ["--to"]),
    "phase diagram into a file": (["phase-diagram", "--to", "config.yaml", "--points", "2"], ["config.yaml"]),
    "cluster without file": (["cluster"], ["--scheduler-file"]),
    # what phasepipe refuses, with exit code 1
    "no such sweep": (["check", "other"], ["no sweep 'other'", "small"]),
    "no configuration": (["check", "--config", "none.yaml"], ["none.yaml", "cannot be read"]),
    "configuration is a folder": (["check", "--config", "results"], ["results", "cannot be read"]),
    "status of a missing folder": (["status", "nowhere"], ["nowhere"]),
    "status of a file": (["status", "config.yaml"], ["config.yaml"]),
    "status of a folder within a sweep": (
        ["status", "results/small/runs"],
        ["results/small/runs holds no sweep"],
    ),
    "verify a missing folder": (["verify", "nowhere"], ["nowhere"]),
    "verify a file": (["verify", "config.yaml"], ["config.yaml"]),
    "verify the folder above": (["verify", "results"], ["results"]),
    "compare missing folders": (["compare", "nowhere", "neither"], ["nowhere"]),
    "compare with a missing folder": (["compare", "results/small", "nowhere"], ["nowhere"]),
    "refine what is not there": (["refine", "--budget", "10", "unrun"], ["'unrun' has no runs yet"]),
    "refine an unknown sweep": (["refine", "--budget", "10", "other"], ["no sweep 'other'"]),
    "theory of nothing": (["theory"], ["name one loss"]),
    "theory of two losses": (["theory", "--a", "1", "--quartic"], ["name one loss"]),
    "a = 0": (["theory", "--a", "0"], ["a = 0"]),
    "a = -1": (["theory", "--a", "-1"], ["a = -1"]),
    "a nan": (["theory", "--a", "nan"], ["a = nan"]),
    "a infinite": (["theory", "--a", "inf"], ["a = inf"]),
    "a beyond measure": (["theory", "--a", "1e-300"], ["a = 1e-300", "[1e-12, 1e+06]", "--a 0.01"]),
    "alpha beyond measure": (
        ["theory", "--quartic", "--alpha", "1e308"],
        ["--alpha = 1e+308", "[0.01, 1000]", "--alpha 3"],
    ),
    "alpha next to nothing": (["theory", "--quartic", "--alpha", "1e-10"], ["--alpha = 1e-10"]),
    "cores in another script": (["run", "config.yaml", "--cores", "٣"], ["--cores ٣ is not valid"]),
    "loss of endless letters": (["theory", "--loss", "x." * 3000 + "y"], ["--loss: path", "300 characters"]),
    "results of 300 letters": (
        ["run", "config.yaml", "--results", "x" * 300, "-n"],
        ["results folder xxx", "File name too long", "key results"],
    ),
    "results in a file": (
        ["run", "config.yaml", "--results", "config.yaml", "-n"],
        ["results folder config.yaml/small", "config.yaml is not a writable folder"],
    ),
    "init of 300 letters": (["init", "x" * 300], ["File name too long", "choose another folder"]),
    "cluster file of 300 letters": (
        ["cluster", "--scheduler-file", "x" * 300, "--config", "config.yaml"],
        ["File name too long", "choose another folder"],
    ),
    "schema of what": (["schema", "x"], ["x"]),
    "alpha 0": (["theory", "--a", "1", "--alpha", "0"], ["alpha"]),
    "alpha negative": (["theory", "--a", "1", "--alpha", "-2"], ["alpha"]),
    "alpha nan": (["theory", "--a", "1", "--alpha", "nan"], ["alpha"]),
    "alpha infinite": (["theory", "--a", "1", "--alpha", "inf"], ["alpha"]),
    "loss without module": (["theory", "--loss", "Amplitude"], ["'Amplitude'", "no module"]),
    "loss that is none": (["theory", "--loss", "json.dumps"], ["'json.dumps'"]),
    "loss of a missing module": (["theory", "--loss", "nowhere_at_all.Loss"], ["nowhere_at_all"]),
    "dynamics without alpha": (["theory", "--a", "1", "--dynamics"], ["--alpha 3"]),
    "dynamics without end": (
        ["theory", "--a", "1", "--alpha", "2", "--dynamics", "--t-max", "inf"],
        ["t_max"],
    ),
    "too few samples": (
        ["theory", "--a", "1", "--alpha", "2", "--dynamics", "--samples", "100"],
        ["samples = 100", "power of two"],
    ),
    "accuracy 0": (["theory", "--a", "1", "--alpha", "2", "--dynamics", "--accuracy", "0"], ["accuracy"]),
    "time without dynamics": (["theory", "--a", "1", "--t-max", "3"], ["--dynamics"]),
    "empty loss": (["theory", "--loss", ""], ["no module"]),
    "cluster of somebody else": (["cluster", "--scheduler-file", "x.json", "unrun"], ["cluster.kind"]),
    "cluster file in no folder": (["cluster", "--scheduler-file", "none/x.json"], ["none/x.json"]),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, configuration):
    """A folder with a configuration and a sweep of which one block is stored."""
    root = tmp_path_factory.mktemp("place")
    content = configuration(cluster={"kind": "local", "workers": 1})
    content["sweeps"]["unrun"] = content["sweeps"]["small"] | {"cluster": LATER}
    (root / "config.yaml").write_text(yaml.safe_dump(content))
    sweep = load_sweep(content)
    path = SweepFolder(root / "results/small").store("runs", 12)
    block, *_ = BlockStore.prepare(path, sweep, layout(sweep, 12)).pending_blocks()
    write_block(path, block, {"outcome": [1, 1, 1, 2] * block.todo[block.todo].astype("uint8")})
    pack(path)
    return root


def files(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("arguments", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_sentence_and_touches_nothing(place, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(place)
    if arguments[0] in ("check", "refine", "cluster") and "--config" not in arguments:
        arguments = [*arguments, "--config", "config.yaml"]
    monkeypatch.setattr(sys, "argv", ["phasepipe", *arguments])
    before = files(place)
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert files(place) == before
    told = end.value.code if isinstance(end.value.code, str) else said.err
    assert end.value.code not in (0, None)
    assert "Traceback" not in told
    if isinstance(end.value.code, str):
        assert told.startswith("phasepipe: ")
        assert "\n" not in told
    else:  # typer: usage and one box
        assert end.value.code == 2
        assert told.count("╭─ Error") == 1
        told = " ".join(told.replace("│", " ").split())
    for word in words:
        assert word in told


def test_a_file_whose_name_is_no_text_is_named_by_its_bytes(place, tmp_path):
    """In a process of its own, whose standard output is strict as that of a user."""
    name = os.fsencode(tmp_path) + b"/\xff.yaml"
    Path(os.fsdecode(name)).write_bytes((place / "config.yaml").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "phasepipe", "check", name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert r"\udcff.yaml)" in done.stdout
