"""What registries read agrees with pyproject.toml, and what other machines run exists."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import phasepipe as pp

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IN_CONDA = {"matplotlib": "matplotlib-base", "snakemake": "snakemake-minimal"}


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == pp.__version__
    recipe = yaml.safe_load((ROOT / "recipe/recipe.yaml").read_text())
    assert recipe["context"]["version"] == pp.__version__


def test_the_recipe_requires_what_the_package_requires():
    recipe = yaml.safe_load((ROOT / "recipe/recipe.yaml").read_text())
    required = [
        re.fullmatch(r"([a-z0-9-]+)(.*)", line).groups() for line in PROJECT["project"]["dependencies"]
    ]
    expected = {f"{IN_CONDA.get(name, name)} {bounds}" for name, bounds in required}
    expected.add(f"python {PROJECT['project']['requires-python']}")
    assert set(recipe["requirements"]["run"]) == expected


def test_extras_hold_what_the_groups_of_developers_hold():
    for name, extra in PROJECT["project"]["optional-dependencies"].items():
        assert extra == PROJECT["dependency-groups"][name], name


def test_what_is_in_the_wheel_is_in_the_clone():
    for source in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]:
        assert (ROOT / source).exists()


def test_the_workflows_of_github_call_what_the_makefile_has():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = set()
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"].values()
        steps = [step.get("run", "") for job in jobs for step in job["steps"]]
        called |= {target for step in steps for target in re.findall(r"make ([a-z-]+)", step)}
    assert {"lint", "test", "test-wheel", "test-oldest"} <= called <= targets
    matrix = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())["jobs"]["test"]["strategy"]
    tested = {f"Programming Language :: Python :: {python}" for python in matrix["matrix"]["python"]}
    assert tested == {line for line in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d", line)}


def test_the_metadata_for_zenodo_are_those_of_the_citation():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert zenodo["title"] == citation["title"]
    assert zenodo["license"] == citation["license"] == PROJECT["project"]["license"]
    assert [creator["name"] for creator in zenodo["creators"]] == [who["name"] for who in citation["authors"]]


def test_importing_uses_nothing_deprecated():
    code = "import phasepipe as pp; [getattr(pp, name) for name in pp.__all__]"
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
