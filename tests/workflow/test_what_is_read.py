"""What ``phasepipe check`` reads is what the workflow runs, alone and to the letter."""

import json
import os
import subprocess
import sys

import pytest
import yaml

PLAN = ("--dry-run", "--quiet", "rules")


@pytest.fixture
def project(tmp_path, configuration, new_project):
    """A project whose shipped configuration has much that a file of one's own could inherit."""
    shipped = configuration(snapshots={"instances": 2, "starts": 1}, noise=0.1)
    shipped["sweeps"]["other"] = shipped["sweeps"]["small"]
    return new_project(tmp_path / "project", shipped)


def plan(project, *arguments, **environment):
    return project.snakemake("--dry-run", *arguments, **environment)


def asked(project, path):
    """What a dry run would compute: the content that the scripts would get."""
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from phasepipe.specification.configuration import load_configuration\n"
        "print(load_configuration([Path(sys.argv[1])]).sweep.grid_digest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=project.root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_file_of_ones_own_inherits_nothing(project, configuration):
    # neither seed, snapshots, noise nor the regulariser of the shipped file
    mine = configuration(loss={"kind": "quartic"}, seed=None, alpha={12: [2, 4]})
    (project.root / "mine.yaml").write_text(yaml.safe_dump(mine))
    code, said = plan(project, "--configfile", "mine.yaml")
    assert code == 0, said
    assert f"results/small/runs/grid-{asked(project, 'mine.yaml')}.done" in said
    assert asked(project, "mine.yaml") != asked(project, "config/config.yaml")
    assert "diagonalise_snapshots" not in said
    code, said = plan(project)
    assert f"results/small/runs/grid-{asked(project, 'config/config.yaml')}.done" in said
    assert "diagonalise_snapshots" in said


def test_a_sweep_that_only_the_shipped_file_has_is_unknown(project, configuration):
    (project.root / "mine.yaml").write_text(yaml.safe_dump(configuration()))
    code, said = plan(project, "--configfile", "mine.yaml", "--config", "sweep=other")
    assert code != 0
    assert "phasepipe: configuration: there is no sweep 'other'; the sweeps are small" in said


def test_numbers_are_those_of_yaml_1_2_in_the_workflow_too(project, configuration):
    text = yaml.safe_dump(configuration()).replace("a: 0.01", "a: 1e-2")
    assert "a: 1e-2" in text
    (project.root / "mine.yaml").write_text(text)
    code, said = plan(project, "--configfile", "mine.yaml")
    assert code == 0, said
    project.configure(text.replace("- 12", "- 012"))
    code, said = plan(project)
    assert code != 0
    assert "config/config.yaml line" in said
    assert "N.0 = 012 is interpreted differently" in said


@pytest.mark.parametrize("name", ["2024", "1e3", "007", "True", "small"])
def test_any_name_can_be_chosen_on_the_command_line(project, configuration, name):
    settings = configuration()["sweeps"]["small"]
    content = {"sweep": "first", "sweeps": {"first": settings, name: settings}}
    project.configure(json.dumps(content))
    code, said = plan(project, "--config", f"sweep={name}", "results=there")
    assert code == 0, said
    assert f"there/{name}/report.html" in said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("seed=3", "--config seed=3: only sweep and results can be set on the command line"),
        ("results=2024", "write results=./2024"),
        ("sweep=$(id)", "there is no sweep '$(id)'"),
        ("results=", "results"),
    ],
)
def test_what_the_command_line_cannot_choose_is_refused(project, given, words):
    code, said = plan(project, "--config", given)
    assert code != 0
    (sentence,) = [line for line in said.splitlines() if line.startswith("phasepipe: ")]
    assert words in sentence
    assert "Traceback" not in said


def test_refine_lays_its_entries_over_a_file_and_nothing_else(project, configuration):
    cells = [{"N": 12, "alpha": 3, "instances": 8}]
    overlay, base = project.root / "refinement.yaml", project.root / "mine.yaml"
    base.write_text(yaml.safe_dump(configuration(refine=[{"N": 12, "alpha": 2, "instances": 9}])))
    overlay.write_text(yaml.safe_dump({"sweeps": {"small": {"refine": cells}}}))
    (project.root / "whole.yaml").write_text(yaml.safe_dump(configuration(refine=cells)))
    code, said = plan(project, "--configfile", "mine.yaml", "refinement.yaml")
    assert code == 0, said
    assert f"runs/grid-{asked(project, 'whole.yaml')}.done" in said
    for wrong in (
        {"sweeps": {"small": {"seed": 3}}},
        {"sweep": "small"},
        {"sweeps": {"lost": {"refine": []}}},
    ):
        overlay.write_text(yaml.safe_dump(wrong))
        code, said = plan(project, "--configfile", "mine.yaml", "refinement.yaml")
        assert code != 0
        assert said.count("phasepipe: configuration ") == 1
        assert "refinement.yaml" in said


@pytest.mark.parametrize("results", ["~/x", "$SCRATCH/x", "${SCRATCH}/x"])
def test_results_are_written_out_in_the_workflow_too(project, configuration, tmp_path, results):
    project.configure(configuration() | {"results": results})
    places = {"HOME": str(tmp_path / "home"), "SCRATCH": str(tmp_path / "home")}
    code, said = plan(project, **places)
    assert code == 0, said
    assert f"{tmp_path}/home/x/small/report.html" in said


@pytest.mark.parametrize("results", ["", "$NOT_SET/x", "${NOT_SET}", "a/{sweep}"])
def test_results_that_lead_nowhere_are_refused(project, configuration, results):
    project.configure(configuration() | {"results": results})
    code, said = plan(project)
    assert code != 0
    assert "phasepipe: configuration: results: " in said
    assert not (project.root / "$NOT_SET").exists()


@pytest.mark.parametrize(
    "content",
    [
        "sweep: !!int x",
        "sweep: 2024-13-45",
        "sweep: " + "9" * 5000,
        "[" * 10_000,
        "a: &x {b: *x}",
        "",
        "- a",
        "a: \0",
        "__use_yte__: true\nsweep:\n  ?1/0\n",
        b"\xff\xfe\xfa",
        "a0: &a0 {x: 1}\n"
        + "".join(
            f"a{i + 1}: &a{i + 1} {{{', '.join(f'k{j}: *a{i}' for j in range(10))}}}\n" for i in range(12)
        ),
    ],
    ids=["tag", "date", "digits", "depth", "cycle", "empty", "list", "nul", "template", "bytes", "bomb"],
)
def test_a_hostile_file_is_one_sentence_from_snakemake(project, content):
    file = project.root / "config/config.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, said = plan(project)
    assert code != 0
    assert said.startswith("phasepipe: configuration")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "option",
    [
        "--summary",
        "--detailed-summary",
        "--dag",
        "--rulegraph",
        "--filegraph",
        "--unlock",
        "--list-changes=params",
    ],
)
def test_what_runs_nothing_needs_no_cores(project, option):
    code, said = project.snakemake(*option.split("="), cores=())
    assert code == 0, said


def test_another_folder_keeps_no_lock(finished, tmp_path):
    root = finished.copy(tmp_path / "project").root
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(root)]))
    (root / "results/small/report.html").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "-s", str(root / "Snakefile"), "-d", str(root)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "write_report" in done.stderr
    assert not list(root.rglob("workflow.lock"))
