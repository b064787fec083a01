"""Which configuration a command reads: files by name, then those of the folder, then the one of phasepipe."""

import subprocess
import sys

import pytest
import yaml

from phasepipe.errors import SweepError
from phasepipe.specification.choice import Choice, choose
from phasepipe.specification.configuration import Configuration, load_sweep, read_configuration, schema
from phasepipe.specification.shipped import rule_names, shipped_configuration, snakefile
from phasepipe.specification.starter import starter_text
from phasepipe.specification.sweep import Sweep


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and a function that writes a configuration file with some sweeps into it."""
    monkeypatch.chdir(tmp_path)

    def write(name, *sweeps):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({"sweep": sweeps[0], "sweeps": {sweep: {} for sweep in sweeps}}))

    return write


def chosen(*words, config=None):
    choice = choose(words, config)
    return [str(path) for path in choice.files], choice.sweep


def test_files_and_a_name_are_what_they_look_like():
    assert chosen("a.yaml") == (["a.yaml"], None)
    assert chosen("a.yaml", "b.yml", "small") == (["a.yaml", "b.yml"], "small")
    assert chosen("there/mine", "small") == (["there/mine"], "small")
    assert chosen("small", config=shipped_configuration()) == ([str(shipped_configuration())], "small")
    assert choose(["a.yaml", "small"]).overrides == {"sweep": "small"}
    assert Choice(()).overrides == {}


def test_the_folder_is_searched_first(folder):
    folder("sweep.yaml", "mine", "demo")
    assert chosen() == (["sweep.yaml"], None)
    assert chosen("demo") == (["sweep.yaml"], "demo")
    assert chosen("tiny") == ([str(shipped_configuration())], "tiny")
    folder("config/config.yaml", "other", "demo")
    assert chosen("mine") == (["sweep.yaml"], "mine")
    assert chosen("other") == (["config/config.yaml"], "other")


def test_what_could_mean_two_files_is_refused(folder):
    folder("sweep.yaml", "mine", "demo")
    folder("config/config.yaml", "other", "demo")
    with pytest.raises(SweepError, match=r"sweep.yaml and config/config.yaml are both here"):
        choose()
    with pytest.raises(SweepError, match=r"'demo' is in sweep.yaml and in config/config.yaml; name the file"):
        choose(["demo"])
    with pytest.raises(
        SweepError, match=r"there is no sweep 'lost'; the sweeps are demo, mine in sweep.yaml and"
    ):
        choose(["lost"])


@pytest.mark.parametrize(
    ("words", "config", "reason"),
    [
        ((), None, "write one with phasepipe init, name a file, or name a sweep of phasepipe itself .demo"),
        (("lost",), None, "there is no sweep 'lost'; the sweeps are demo, hessian, tiny, which come with"),
        (("",), None, "there is no sweep ''"),
        (("one", "two"), None, "'one' and 'two' cannot both be names"),
        (("one", "a.yaml"), None, "'one' stands before a.yaml; give the file first"),
        (("a.yaml",), "b.yaml", "b.yaml and a.yaml are both given"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path, monkeypatch, words, config, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SweepError, match=reason):
        choose(words, config)


def test_a_broken_file_of_the_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text("sweep: [")
    with pytest.raises(SweepError, match=r"sweep.yaml is not valid YAML"):
        choose(["demo"])


def test_the_rules_are_those_that_snakemake_lists():
    listed = subprocess.run(
        [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile()), "--list-rules"],
        cwd=shipped_configuration().parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(rule_names()) == sorted(listed.stdout.split())


def test_the_first_sweep_of_a_user_is_valid_and_so_is_every_key_that_it_explains(tmp_path):
    path = tmp_path / "sweep.yaml"
    lines = starter_text().splitlines()
    assert lines[0].startswith("# yaml-language-server: $schema=/")
    path.write_text("\n".join(lines))
    first = load_sweep(read_configuration(path))
    assert first.run_count() < 5000
    explained = set()
    for place, line in enumerate(lines):
        key, colon, _ = line.strip().lstrip("# ").partition(":")
        if not (colon and line.startswith("    ") and key in Sweep.model_fields):
            continue
        explained.add(key)
        assert lines[place - 1].strip().startswith(f"# {Sweep.model_fields[key].description}")
        path.write_text("\n".join([*lines[:place], line.replace("# ", ""), *lines[place + 1 :]]))
        if key == "refine":  # its example belongs to another grid
            continue
        assert key in load_sweep(read_configuration(path)).model_fields_set
    assert explained == set(Sweep.model_fields) - {"name"}
    assert set(schema()["properties"]) == set(Configuration.model_fields)
