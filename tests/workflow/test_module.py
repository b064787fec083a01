"""The code of docs/how-to/import-the-workflow.md: another workflow imports the rules of phasepipe."""

import re

import pytest
import yaml

from tests.workflow.conftest import ROOT, SWEEP, Project

PAGE = ROOT / "docs/how-to/import-the-workflow.md"


@pytest.fixture
def importing(tmp_path, configuration):
    """A workflow as on the page, with a small sweep in its sweep.yaml."""
    (code,) = re.findall(r"```python\n# Snakefile\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "Snakefile").write_text(code.replace("results/first", "results/small"))
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(configuration(**SWEEP)))
    return Project(tmp_path)


def test_a_workflow_that_imports_the_rules_goes_on_with_their_tables(importing):
    code, said = importing.snakemake("--nolock")
    assert code == 0, said
    assert "rule sweeps_run_descent" in said or "Rule: sweeps_run_descent" in said
    assert (importing.root / "transition.txt").read_text() == "2 alphas\n"
    assert not list(importing.root.rglob("*.lock"))
    # one workflow at a time, also for those that import it
    (importing.root / "transition.txt").unlink()
    owner = '{"pid": 1, "host": "elsewhere", "since": "2026-01-02", "process_start": "1"}'
    (importing.results / "workflow.lock").write_text(owner)
    code, said = importing.snakemake("--nolock")
    assert code != 0
    assert "is being written by process 1 on elsewhere" in said


def test_a_mistake_in_the_sweep_of_a_module_is_one_sentence(importing, configuration):
    (importing.root / "sweep.yaml").write_text(yaml.safe_dump(configuration(t_maxx=3)))
    code, said = importing.snakemake("--dry-run", "--nolock")
    assert code != 0
    assert said.strip() == "phasepipe: sweep 'small': unknown key 't_maxx'; did you mean 't_max'?"


def test_the_content_of_a_file_can_be_given_too(importing, configuration):
    snakefile = importing.root / "Snakefile"
    content = repr(configuration(**SWEEP) | {"results": "elsewhere"})
    snakefile.write_text(snakefile.read_text().replace('{"file": "sweep.yaml"}', content))
    (importing.root / "sweep.yaml").unlink()
    code, said = importing.snakemake("--dry-run", "--nolock", "elsewhere/small/report.html")
    assert code == 0, said
    assert "sweeps_write_report" in said
