"""Every mistake in a configuration is one sentence, before anything is computed."""

import importlib
import json
import math
import os
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from phasepipe.errors import SweepError
from phasepipe.specification.configuration import load_configuration, load_sweep, read_configuration, schema

ROOT = Path(__file__).parents[2]

LOSSES = {
    "whole": "class Loss:\n    def __init__(self, width=1.0): self.width = width\n"
    "    def value(self, f, y): return (f - y) ** 2\n"
    "    def slope(self, f, y): return 2 * (f - y)\n    def curvature(self, f, y): return 2 + 0 * f\n",
    "no_curvature": "class Loss:\n    def value(self, f, y): return f\n    def slope(self, f, y): return f\n",
    "broken": "raise RuntimeError('half a module')\n",
}


def random(count):
    return {"kind": "random", "count": count}


def warm(count, m0):
    return {"kind": "warm", "count": count, "m0": m0}


def slurm(**keys):
    return {"cluster": {"kind": "slurm", **keys}}


def descending(start, stop, step):
    return {"start": start, "stop": stop, "step": step}


REFUSED = {
    "precision without budget": (
        {"precision": {"alpha_50": 0.02}},
        ["key 'precision.core_hours' is missing"],
    ),
    "negative precision": (
        {"precision": {"alpha_50": -1, "core_hours": 1}},
        ["precision.alpha_50 = -1", "greater than 0"],
    ),
    "precision with a budget beyond all machines": (
        {"precision": {"alpha_50": 0.1, "core_hours": 1e9}},
        ["precision.core_hours = 1000000000.0", "1000000"],
    ),
    "precision misspelt": (
        {"precision": {"alpha_50": 0.1, "core_hours": 1, "core_hour": 1}},
        ["unknown key 'precision.core_hour'", "did you mean 'core_hours'?"],
    ),
    "theory at one alpha twice": (
        {"dynamics_theory": {"alpha": [2, 3, 2]}},
        ["dynamics_theory.alpha = [2.0, 3.0, 2.0]", "contains 2 twice"],
    ),
    "theory to a time in words": (
        {"dynamics_theory": {"t_max": "3"}},
        ["dynamics_theory.t_max = '3'", "without quotes"],
    ),
    "theory at an alpha beyond measure": (
        {"dynamics_theory": {"alpha": [2, 1e6]}},
        ["dynamics_theory.alpha.1 = 1000000.0", "less than or equal to 100"],
    ),
    "theory at next to no alpha": (
        {"dynamics_theory": {"alpha": [1e-6]}},
        ["dynamics_theory.alpha.0 = 1e-06", "greater than or equal to 0.001"],
    ),
    "theory to next to no time": (
        {"dynamics_theory": {"t_max": 1e-300}},
        ["dynamics_theory.t_max = 1e-300", "greater than or equal to 0.01"],
    ),
    "theory of true samples": (
        {"dynamics_theory": {"samples": True}},
        ["dynamics_theory.samples = True", "give a number"],
    ),
    "precision at another N": (
        {"precision": {"alpha_50": 0.1, "core_hours": 1, "N": [13]}},
        ["precision.N contains 13", "N is [12]"],
    ),
    "precision at one N twice": (
        {"precision": {"alpha_50": 0.1, "core_hours": 1, "N": [12, 12]}},
        ["precision.N = [12, 12]", "once"],
    ),
    "precision of one alpha": (
        {"precision": {"alpha_50": 0.1, "core_hours": 1}, "alpha": [2]},
        ["precision needs at least two alphas at N = 12", "alpha = 2"],
    ),
    "precision without signal": (
        {"precision": {"alpha_50": 0.1, "core_hours": 1}, "zero_signal": True},
        ["precision needs a signal"],
    ),
    "precision of two kinds of start": (
        {
            "precision": {"alpha_50": 0.1, "core_hours": 1},
            "starts": [{"kind": "random", "count": 2}, {"kind": "spectral"}],
        },
        ["precision steers by one kind of start", "random and spectral"],
    ),
    "unknown key": ({"t_maxx": 5}, ["'t_maxx'", "did you mean 't_max'"]),
    "unknown key like nothing": ({"zzzz": 5}, ["'zzzz'", "the keys are loss, N"]),
    "unknown key named like a kind": ({"flow": 5}, ["unknown key 'flow'"]),
    "unknown key inside": (
        {"snapshots": {"instance": 1}},
        ["'snapshots.instance'", "did you mean 'instances'"],
    ),
    "unknown key of a start": (
        {"starts": [random(1) | {"m0": 0.1}]},
        ["'starts.0.m0'", "the keys are kind, count"],
    ),
    "second name": ({"name": "other"}, ["'name'", "its key in the mapping sweeps"]),
    "missing loss": ({"loss": None}, ["key 'loss' is missing"]),
    "missing start count": ({"starts": [{"kind": "random"}]}, ["key 'starts.0.count' is missing"]),
    "missing kind": ({"starts": [{"count": 3}]}, ["'starts.0.kind' is missing", "random, warm"]),
    "missing address": ({"cluster": {"kind": "address"}}, ["key 'cluster.address' is missing"]),
    "wrong address": ({"cluster": {"kind": "address", "address": "here"}}, ["cluster.address = 'here'"]),
    "address without port": (
        {"cluster": {"kind": "address", "address": "tcp://here"}},
        ["cluster.address = 'tcp://here'"],
    ),
    "unknown cluster": ({"cluster": {"kind": "pbs"}}, ["cluster.kind = 'pbs'", "'slurm'"]),
    "unknown slurm key": (slurm(partition="main"), ["unknown key 'cluster.partition'"]),
    "no jobs": (slurm(jobs=0), ["cluster.jobs = 0", "greater than or equal to 1"]),
    "more jobs at least than at most": (
        slurm(jobs=2, minimum_jobs=3),
        ["cluster.minimum_jobs = 3", "jobs = 2"],
    ),
    "more processes than cores": (slurm(cores=2, processes=3), ["cluster.processes = 3", "cores = 2"]),
    "walltime is a word": (
        slurm(walltime="long"),
        ["cluster.walltime = 'long'", "write [days-]hours:minutes:seconds", "for example '04:00:00'"],
    ),
    "walltime is a number": (slurm(walltime=43200), ["cluster.walltime = 43200", "in quotes"]),
    "walltime of seconds": (slurm(walltime="0:00:30"), ["cluster.walltime = 0:00:30", "minute"]),
    "margin is all": (slurm(walltime="0:10:00", margin=600), ["cluster.margin = 600", "fraction"]),
    "memory without unit": (slurm(memory="4"), ["cluster.memory = '4'"]),
    "directive that is none": (
        slurm(job_extra_directives=["constraint"]),
        ["job_extra_directives.0 = 'constraint'"],
    ),
    "two lines in one": (slurm(queue="a\nrm"), ["cluster.queue"]),
    "carriage return": (slurm(account="a\rb"), ["cluster.account"]),
    "escape in a prologue": (slurm(job_script_prologue=["echo\x1b"]), ["cluster.job_script_prologue.0"]),
    "digits of another script": (slurm(memory="٤GB"), ["cluster.memory = '٤GB'", "4GB"]),
    "hours of another script": (slurm(walltime="٠١:٠٠:٠٠"), ["cluster.walltime", "for example '04:00:00'"]),
    "port of another script": (
        {"cluster": {"kind": "address", "address": "tcp://10.0.0.1:٨٧٨٦"}},
        ["cluster.address", "for example 'tcp://10.0.0.1:8786'"],
    ),
    "99 minutes": (slurm(walltime="00:99:99"), ["cluster.walltime = '00:99:99'"]),
    "two commands for Python": (slurm(python="a;b"), ["cluster.python = 'a;b'"]),
    "command for a folder": (slurm(log_directory="`id`"), ["cluster.log_directory = '`id`'"]),
    "command for an interface": (slurm(interface="$(id)"), ["cluster.interface = '$(id)'"]),
    "half of TLS": (slurm(security={"ca_file": "ca.pem"}), ["security.cert' is missing"]),
    "unknown loss": ({"loss": {"kind": "cubic"}}, ["loss.kind = 'cubic'", "'quartic'"]),
    "negative a": (
        {"loss": {"kind": "normalised_quartic", "a": -1}},
        ["loss.a = -1", "greater than or equal"],
    ),
    "next to no a": (
        {"loss": {"kind": "normalised_quartic", "a": 1e-300}},
        ["loss.a = 1e-300", "greater than or equal to 0.000000000001"],
    ),
    "loss with a list": (
        {"loss": {"kind": "custom", "path": "x.y", "parameters": {"a": [1]}}},
        ["loss.parameters.a = [1] is not valid", "give a number, text, true or false"],
    ),
    "loss of endless letters": (
        {"loss": {"kind": "custom", "path": "x." * 3000 + "y"}},
        ["loss.path = 'x.x.", "at most 300 characters"],
    ),
    "parameter of endless letters": (
        {"loss": {"kind": "custom", "path": "x.y", "parameters": {"a" * 3000: [1]}}},
        [f"loss.parameters.{'a' * 60}... = [1] is not valid"],
    ),
    "half of a character": (slurm(queue="\ud800"), ["cluster.queue = ", "use text that UTF-8 can hold"]),
    "key of half a character": ({"\ud800": 1}, ["a key = ", "use text that UTF-8 can hold"]),
    "folder that no file system can hold": (
        {"loss": {"kind": "custom", "path": "x.y", "directory": "\ud800"}},
        [r"loss.directory: '\ud800' is not a file or folder"],
    ),
    "infinite a": (
        {"loss": {"kind": "normalised_quartic", "a": math.inf}},
        ["loss.a = inf", "less than or equal to 1000000"],
    ),
    "loss is a word": ({"loss": "quartic"}, ["loss = 'quartic'", "mapping"]),
    "no N": ({"N": []}, ["N is empty"]),
    "N is a number": ({"N": 64}, ["N = 64", "list"]),
    "N is a word": ({"N": ["many"]}, ["N.0 = 'many'", "number"]),
    "N too small": ({"N": [1]}, ["N.0 = 1", "greater than or equal to 2"]),
    "N beyond measure": ({"N": [10**400]}, ["N.0 = 1000", "less than"]),
    "N twice": ({"N": [12, 16, 12]}, ["N = 12 occurs twice"]),
    "no alpha": ({"alpha": []}, ["alpha is empty"]),
    "no measurement": ({"alpha": [2, 0.01]}, ["alpha = 0.01", "M = 0", "at least"]),
    "negative alpha": ({"alpha": [-2]}, ["alpha.0 = -2", "greater than 0"]),
    "alpha beyond measure": ({"alpha": [1e308]}, ["alpha.0 = 1e+308", "less than"]),
    "one M from two alphas": ({"alpha": [2, 2.01]}, ["alpha = 2.0 and alpha = 2.01", "M = 24", "remove one"]),
    "empty range": ({"alpha": descending(4, 2, 0.5)}, ["alpha is an empty range", "stop"]),
    "endless range": ({"alpha": descending(1, math.inf, 0.5)}, ["alpha.stop = inf"]),
    "range too fine": ({"alpha": descending(1, 2, 1e-12)}, ["alpha.step = 1e-12", "larger step"]),
    "range without step": ({"alpha": {"start": 1, "stop": 2}}, ["key 'alpha.step' is missing"]),
    "alpha for other N": ({"alpha": {16: [2]}}, ["alpha is given for N = [16]", "N is [12]"]),
    "empty alpha of one N": ({"alpha": {12: []}}, ["alpha.12 is empty"]),
    "alpha for a word": ({"alpha": {"twelve": [2]}}, ["alpha", "'twelve'", "integer"]),
    "no instances": ({"instances": 0}, ["instances = 0", "greater than"]),
    "instances yes": ({"instances": True}, ["instances = True", "yes"]),
    "half an instance": ({"instances": 2.5}, ["instances = 2.5", "integer"]),
    "no starts": ({"starts": []}, ["starts is empty"]),
    "start count 0": ({"starts": [random(0)]}, ["starts.0.count = 0", "greater than"]),
    "m0 of one": ({"starts": [warm(1, 1.0)]}, ["starts.0.m0 = 1.0", "less than 1"]),
    "m0 negative": ({"starts": [random(1), warm(1, -0.1)]}, ["starts.1.m0 = -0.1", "greater than"]),
    "m0 not a number": ({"starts": [warm(1, math.nan)]}, ["starts.0.m0 = nan"]),
    "kind twice": ({"starts": [random(1), random(2)]}, ["random occur twice", "add their counts"]),
    "warm without signal": ({"starts": [warm(1, 0.1)], "zero_signal": True}, ["need a signal"]),
    "threshold without signal": (
        {"starts": [{"kind": "threshold", "count": 1}], "zero_signal": True},
        ["threshold starts need a signal"],
    ),
    "threshold of signs": (
        {"starts": [{"kind": "threshold", "count": 1}], "sensing": {"kind": "signs"}},
        ["starts of kind threshold", "sensing.kind = 'gaussian'", "'signs'"],
    ),
    "two spectral starts": ({"starts": [{"kind": "spectral", "count": 2}]}, ["starts.0.count = 2"]),
    "unknown sensing": ({"sensing": {"kind": "sparse"}}, ["sensing.kind = 'sparse'", "'signs'"]),
    "correlation of one": ({"sensing": {"kind": "correlated", "rho": 1}}, ["sensing.rho = 1", "less than 1"]),
    "no correlation": ({"sensing": {"kind": "correlated"}}, ["key 'sensing.rho' is missing"]),
    "dynamics beyond theory": (
        {"alpha": [2, 500], "dynamics_theory": True},
        ["predicts at alpha from 0.001 to 100", "the grid has 500", "dynamics_theory.alpha"],
    ),
    "negative noise": ({"noise": -0.1}, ["noise = -0.1", "greater than or equal to 0"]),
    "noise without signal": ({"noise": 0.1, "zero_signal": True}, ["noise = 0.1", "zero_signal"]),
    "tolerance too small": (
        {"dynamics": {"kind": "flow", "relative_tolerance": 1e-7}},
        ["relative_tolerance = 1e-07", "float32", "1e-2"],
    ),
    "no learning rate": ({"dynamics": {"kind": "descent"}}, ["key 'dynamics.learning_rate' is missing"]),
    "no time": ({"t_max": 0}, ["t_max = 0", "greater than or equal to 0.000001"]),
    "endless time": ({"t_max": math.inf}, ["t_max = inf", "finite"]),
    "time is a word": ({"t_max": "long"}, ["t_max = 'long'", "number"]),
    "threshold of one": ({"recovery_threshold": 1}, ["recovery_threshold = 1", "less than 1"]),
    "half precision": ({"dtype": "float16"}, ["dtype = 'float16'", "float32"]),
    "unknown device": ({"device": "tpu"}, ["device = 'tpu'", "'cpu' or 'gpu'"]),
    "negative seed": ({"seed": -1}, ["seed = -1", "greater than or equal to 0"]),
    "a moment of time": ({"t_max": 5e-324}, ["t_max = 5e-324", "greater than or equal to"]),
    "time without end": ({"t_max": 1e308}, ["t_max = 1e+308", "less than or equal to"]),
    "time in quotes": ({"t_max": "20"}, ["t_max = '20'", "text", "without quotes"]),
    "N in quotes": ({"N": ["064"]}, ["N.0 = '064'", "without quotes"]),
    "instances in quotes": ({"instances": "4"}, ["instances = '4'", "without quotes"]),
    "seed of 60 digits": ({"seed": 10**59}, ["seed = 1000", "less than"]),
    "deafening noise": ({"noise": 1e300}, ["noise = 1e+300", "less than"]),
    "refined alpha beyond measure": (
        {"refine": [{"N": 12, "alpha": 1e300, "instances": 4}]},
        ["refine.0.alpha = 1e+300", "less than"],
    ),
    "block beyond measure": ({"block_instances": 1e30}, ["block_instances = 1e+30"]),
    "starts beyond measure": ({"starts": [random(10_000_000)]}, ["starts.0.count = 10000000", "less than"]),
    "instance beyond memory": (
        {"N": [1_000_000], "alpha": [1e5]},
        ["N = 1000000", "alpha = 100000", "GB", "limit"],
    ),
    "runs beyond patience": (
        {"instances": 10_000_000, "starts": [random(100_000)]},
        ["runs", "1e+09", "fewer"],
    ),
    "steps beyond patience": (
        {"dynamics": {"kind": "descent", "learning_rate": 1e-300}},
        ["learning_rate = 1e-300", "steps", "larger"],
    ),
    "giant steps": ({"dynamics": {"kind": "descent", "learning_rate": 1e300}}, ["learning_rate = 1e+300"]),
    "truth in words": ({"zero_signal": "yes"}, ["zero_signal = 'yes'", "boolean"]),
    "truth as a number": ({"store_sensing": 1}, ["store_sensing = 1", "boolean"]),
    "a port beyond ports": (
        {"cluster": {"kind": "address", "address": "tcp://10.0.0.1:9999999999"}},
        ["cluster.address = 'tcp://10.0.0.1:9999999999'", "65535"],
    ),
    "memory of all machines": (slurm(memory=f"{10**20}TB"), ["cluster.memory", "100TB"]),
    "no memory": (slurm(memory="0GB"), ["cluster.memory = '0GB'", "100MB"]),
    "walltime of a century": (slurm(walltime="99999-00:00:00"), ["cluster.walltime", "longer than a year"]),
    "walltime of endless digits": (slurm(walltime="9" * 5000 + ":00:00"), ["longer than a year"]),
    "more workers than any machine": (
        {"cluster": {"kind": "local", "workers": 10**9}},
        ["cluster.workers = 1000000000", "less than"],
    ),
    "snapshots between records": ({"snapshots": {"per_decade": 3}}, ["snapshots.per_decade = 3", "divide"]),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_by_one_sentence(configuration, changes, words):
    with pytest.raises(SweepError) as refused:
        load_sweep(configuration(**changes))
    assert_sentence(str(refused.value), "sweep 'small': ", words)


def assert_sentence(message, opening, words):
    assert message.startswith(opening)
    assert "\n" not in message
    assert "pydantic" not in message
    assert "[^" not in message  # a regular expression
    assert "\\d" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ({"path": "Loss"}, ["loss.path = 'Loss'", "no module"]),
        (
            {"path": "nowhere_at_all.Loss"},
            ["loss.path = 'nowhere_at_all.Loss'", "cannot be imported", "install"],
        ),
        ({"path": "broken.Loss"}, ["cannot be imported", "half a module"]),
        ({"path": "whole.Lost"}, ["module whole has no 'Lost'"]),
        ({"path": "no_curvature.Loss"}, ["lacks curvature", "value, slope and curvature"]),
        ({"path": "whole.Loss", "parameters": {"wide": 2}}, ["parameters {'wide': 2}", "wide"]),
        ({"path": "whole.Loss", "parameters": {"width": [1]}}, ["loss.parameters.width"]),
        ({}, ["key 'loss.path' is missing"]),
    ],
)
def test_own_loss_refused_by_one_sentence(configuration, tmp_path, loss, words):
    for name, source in LOSSES.items():
        (tmp_path / f"{name}.py").write_text(source)
    with pytest.raises(SweepError) as refused:
        load_sweep(configuration(loss={"kind": "custom", "directory": str(tmp_path), **loss}), trust=True)
    assert_sentence(str(refused.value), "sweep 'small': ", words)


def test_own_loss_loads_with_its_parameters(configuration, tmp_path):
    (tmp_path / "whole.py").write_text(LOSSES["whole"])
    loss = {"kind": "custom", "path": "whole.Loss", "directory": str(tmp_path), "parameters": {"width": 2.5}}
    assert load_sweep(configuration(loss=loss), trust=True).loss.build().width == 2.5


def test_only_the_module_that_was_named_is_imported(configuration, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    for name, source in {"alone": LOSSES["whole"], "sibling": "", "colorsys": LOSSES["broken"]}.items():
        (tmp_path / f"{name}.py").write_text(source)
    loss = {"kind": "custom", "path": "alone.Loss", "directory": str(tmp_path)}
    for _ in range(2):
        load_sweep(configuration(loss=loss), trust=True).loss.build()
    assert "alone" in sys.modules
    assert "sibling" not in sys.modules
    assert hasattr(importlib.import_module("colorsys"), "rgb_to_hsv")  # Python's own, not the user's file
    assert sys.path.count(str(tmp_path)) == 1


@pytest.mark.parametrize("path", ["os.system", "alone", ".Loss", "a b.Loss", "../alone.Loss", "", "alone."])
def test_a_path_that_names_no_loss_is_refused(configuration, tmp_path, path):
    (tmp_path / "alone.py").write_text(LOSSES["whole"])
    with pytest.raises(SweepError) as refused:
        load_sweep(
            configuration(loss={"kind": "custom", "path": path, "directory": str(tmp_path)}), trust=True
        )
    assert_sentence(str(refused.value), "sweep 'small': ", ["loss.path"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, ["key 'sweep' is missing"]),
        ({"sweep": "a"}, ["key 'sweeps' is missing"]),
        ({"sweep": "a", "sweeps": {}}, ["sweeps is empty"]),
        ({"sweep": "a", "sweeps": {"b": {}}}, ["no sweep 'a'", "the sweeps are b"]),
        ({"sweep": "a", "sweeps": {"a": None}}, ["sweeps.a is empty", "mapping"]),
        ({"sweep": "a", "sweeps": {1: {}}}, ["sweeps has the key 1, which is not text", "in quotes"]),
        ({"sweep": "a", "sweeps": {"a": {True: 1}}}, ["sweeps.a has the key true, which is not text"]),
        ({"sweep": "a", "sweeps": {"a": {}}, 1: 1}, ["the file has the key 1, which is not text"]),
        ({"sweep": "a", "sweeps": {"a": {}}, "results": None}, ["results is empty; it should be a valid"]),
        ({"sweep": "a", "sweeps": {"a": {}}, "results": "\ud800"}, [r"results: '\ud800' is not a file"]),
        ({"sweep": "a", "sweeps": {"a": {}}, "results": "\udcff"}, [r"results: '\udcff' is not a file"]),
        ({"sweep": "a", "sweeps": {"a": {}}, "results": "a\0"}, [r"results: 'a\x00' is not a file"]),
        ({"sweep": "a", "sweeps": {"a": {}}, "result": "x"}, ["unknown key 'result'", "'results'"]),
    ],
)
def test_whole_configuration_refused_by_one_sentence(content, words):
    with pytest.raises(SweepError) as refused:
        load_sweep(content)
    assert_sentence(str(refused.value), "configuration: ", words)


def test_device_reaches_the_engine_and_is_no_part_of_the_identity(make_sweep):
    sweep = make_sweep(device="gpu")
    assert sweep.protocol().device == "gpu"
    assert sweep.identity() == make_sweep().identity()


def test_sensing_and_noise_enter_the_identity_only_where_they_are_not_the_default(make_sweep):
    plain = make_sweep().identity()
    assert {"sensing", "noise"}.isdisjoint(plain)
    assert make_sweep(sensing={"kind": "gaussian"}, noise=0).identity() == plain
    assert make_sweep(sensing={"kind": "signs"}).identity() == plain | {"sensing": {"kind": "signs"}}
    assert make_sweep(noise=0.1).identity() == plain | {"noise": 0.1}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../up", ["name = '../up'", "letters, digits", "for example 'demo'"]),
        ("a b", ["name = 'a b'"]),
        ("$(touch x)", ["name = '$(touch x)'"]),
        ("a" * 101, ["has 101 characters", "at most 100"]),
        ("runs", ["name = 'runs'", "choose another"]),
        ("NUL.txt", ["name = 'NUL.txt'", "choose another"]),
        ("demo.", ["name = 'demo.'", "choose another"]),
    ],
)
def test_name_that_is_no_folder_is_refused(configuration, name, words):
    settings = configuration()["sweeps"]["small"]
    with pytest.raises(SweepError) as refused:
        load_sweep({"sweep": name, "sweeps": {name: settings}})
    assert_sentence(str(refused.value), f"sweep {name!r}: ", words)


@pytest.mark.parametrize("key", ["t_max", "seed", "loss", "cluster"])
def test_a_long_value_is_shortened(configuration, key):
    value = {"kind": "a" * 5000} if key in ("loss", "cluster") else "a" * 5000
    with pytest.raises(SweepError) as refused:
        load_sweep(configuration(**{key: value}))
    assert len(str(refused.value)) < 300


def test_a_name_of_a_hundred_letters_is_taken(configuration):
    settings = configuration()["sweeps"]["small"]
    assert load_sweep({"sweep": "a" * 100, "sweeps": {"a" * 100: settings}}).name == "a" * 100


def test_the_runs_that_refine_adds_are_counted(make_sweep):
    cells = [{"N": 12, "alpha": 2, "instances": 10}, {"N": 12, "alpha": 3, "instances": 5}]
    sweep = make_sweep(refine=cells, starts=[random(2), warm(1, 0.5)])
    assert sweep.run_count() == (10 + 4 + 5) * 3
    study = load_sweep(read_configuration(ROOT / "config/study/4-scaling.yaml"), "scaling-a0.01")
    assert study.run_count() == 8 * sum(
        len(study.instances_at(N)) * count
        for N, count in {64: 256, 128: 192, 256: 96, 512: 64, 1024: 32, 2048: 8}.items()
    )


def test_the_digest_of_a_grid_changes_with_what_is_asked_and_with_nothing_else(make_sweep):
    digest = make_sweep().grid_digest()
    assert make_sweep(block_instances=1, cluster={"kind": "local", "workers": 1}).grid_digest() == digest
    grown = [{"instances": 5}, {"N": [12, 14]}, {"alpha": [2, 3, 4]}, {"starts": [random(3)]}]
    assert len({digest, *(make_sweep(**change).grid_digest() for change in grown)}) == 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["cannot be read", "No such file"]),
        (b"sweep: [", ["not valid YAML"]),
        (b"\xff\xfe\xfa", ["not valid YAML"]),
        (b"- a\n- b\n", ["not a mapping"]),
        (b"", ["is empty"]),
        (b"# only a remark\n", ["is empty"]),
        (b"sweep: a\0b\n", ["not valid YAML", "#x0000"]),
        (b"sweep: a\n" + b"#" * 600_000, ["larger than 500000 bytes"]),
    ],
)
def test_file_refused_by_one_sentence(tmp_path, content, words):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SweepError) as refused:
        read_configuration(path)
    assert_sentence(str(refused.value), f"configuration {path} ", words)


@pytest.mark.parametrize("name", ["config.yaml", "a\0b.yaml"])
def test_what_is_no_file_is_refused_at_once(tmp_path, name):
    path = tmp_path / name
    if "\0" not in name:
        os.mkfifo(path)
    with pytest.raises(SweepError, match="cannot be read"):
        read_configuration(path)


@pytest.mark.parametrize("sweeps", [5, [{"a": 1}], "text", None])
def test_a_refinement_of_no_sweeps_is_refused(tmp_path, sweeps):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(yaml.safe_dump({"sweep": "t", "sweeps": sweeps}))
    second.write_text(yaml.safe_dump({"sweeps": {"t": {"refine": []}}}))
    with pytest.raises(SweepError, match="refines t, which the first file does not contain"):
        load_configuration([first, second])


def test_many_sizes_are_compared_soon(configuration):
    began = time.process_time()
    with pytest.raises(SweepError, match="N = 2 occurs twice"):
        load_sweep(configuration(N=[*range(2, 60_000), 2]))
    assert time.process_time() - began < 5


def test_loading_fills_in_what_a_user_may_leave_out(make_sweep):
    sweep = make_sweep(loss={"a": 0.5}, alpha={"start": 1.5, "stop": 2.5, "step": 0.25}, t_max=10)
    assert sweep.alphas(12) == [1.5, 1.75, 2.0, 2.25, 2.5]
    assert sweep.measurements(12) == [18, 21, 24, 27, 30]
    assert sweep.loss.build().a == 0.5
    assert sweep.t_max == 10


def places(value, path=()):
    """Every place in a nested mapping."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def replaced(value, path, new):
    """A copy with another value, or without the entry if ``new`` is ``...``."""
    head, *rest = path
    entries = dict(value.items() if isinstance(value, dict) else enumerate(value))
    if rest:
        entries[head] = replaced(entries[head], rest, new)
    elif new is ...:
        entries.pop(head, None)
    else:
        entries[head] = new
    return entries if isinstance(value, dict) else list(entries.values())


RICH = {
    "alpha": {12: {"start": 1.5, "stop": 3.0, "step": 0.5}},
    "starts": [random(2), warm(1, 0.5)],
    "dynamics": {"kind": "flow", "relative_tolerance": 0.01},
    "snapshots": {"instances": 1, "starts": 1, "per_decade": 4},
    "cluster": {"kind": "local", "workers": 2},
    "sensing": {"kind": "correlated", "rho": 0.2},
    "store_sensing": False,
    "dtype": "float32",
}
ODD = st.one_of(
    st.just(...),
    st.none(),
    st.booleans(),
    st.integers(-3, 20),
    st.integers(),
    st.floats(),
    st.sampled_from(["", "kind", "random", "local", "flow", "custom", "range", "1e3", "é\n"]),
    st.text(max_size=5),
    st.lists(st.integers(0, 4), max_size=2),
    st.dictionaries(st.sampled_from(["kind", "start", "a", "x", 12, "list"]), st.integers(0, 4), max_size=2),
)


CLUSTERS = [
    RICH["cluster"],
    {
        "kind": "address",
        "address": "tls://10.0.0.1:8786",
        "security": {"ca_file": "a", "cert": "b", "key": "c"},
    },
    {"kind": "scheduler_file", "path": "cluster.json"},
    {
        "kind": "slurm",
        "jobs": 4,
        "minimum_jobs": 1,
        "cores": 8,
        "processes": 4,
        "memory": "16GB",
        "walltime": "1-02:00:00",
        "margin": 60,
        "queue": "main",
        "interface": "ib0",
        "job_extra_directives": ["--exclusive"],
        "job_script_prologue": ["module load python"],
        "log_directory": "logs",
    },
]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_corrupted_sweep_loads_or_is_refused_by_one_line(configuration, data):
    content = configuration(**RICH | {"cluster": data.draw(st.sampled_from(CLUSTERS), label="cluster")})
    for _ in range(data.draw(st.integers(1, 3), label="corruptions")):
        path = data.draw(st.sampled_from([("sweep",), *places(content)]))
        content = replaced(content, path, data.draw(ODD))
    try:
        sweep = load_sweep(content)
    except SweepError as error:
        lines = str(error).splitlines()
    else:
        lines = [json.dumps(sweep.grid_key(N)) for N in sweep.N[:1]]
    assert len(lines) == 1


def test_schema_in_the_repository_is_the_one_of_the_models():
    stored = json.loads((ROOT / "workflow/schemas/config.schema.json").read_text())
    assert stored == schema(), "run: phasepipe schema > workflow/schemas/config.schema.json"


def test_shipped_configuration_loads_and_fits_the_schema():
    content = read_configuration(ROOT / "config/config.yaml")
    for name in content["sweeps"]:
        load_sweep(content, name)
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(content, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"sweeps": {"demo": {"N": 3}}}, schema())


def properties(part, path=()):
    """Every property of a schema, with the path to it."""
    entries = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, entry in entries:
        if key == "properties" and "title" in part:
            yield from (((*path, name), found) for name, found in entry.items())
        if key != "examples":
            yield from properties(entry, (*path, str(key)))


def test_the_schema_describes_every_key_and_gives_an_example_that_fits():
    jsonschema = pytest.importorskip("jsonschema")
    whole = schema()
    jsonschema.Draft7Validator.check_schema(whole)
    found = dict(properties(whole))
    assert len(found) > 80
    for path, part in found.items():
        assert part.get("description"), path
        if "const" in part:  # the kind of a loss, of starts, ...
            continue
        for example in part["examples"]:
            jsonschema.Draft7Validator(part | {"definitions": whole["definitions"]}).validate(example)


def test_the_schema_knows_what_the_models_take_before_they_are_built(configuration):
    jsonschema = pytest.importorskip("jsonschema")
    content = configuration(dynamics_theory=True, loss={"a": 0.01})
    load_sweep(content)
    jsonschema.validate(content, schema())
