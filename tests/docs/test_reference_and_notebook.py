"""The reference builds from the docstrings; the notebook runs on the sweep that it asks for."""

import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "tutorials" / "first-look.ipynb"


def run(*arguments, cwd):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
def test_the_reference_builds_without_a_warning(tmp_path):
    run(ROOT / "docs/build_reference.py", tmp_path / "reference", cwd=tmp_path)
    page = (tmp_path / "reference/phasepipe.html").read_text()
    assert 'id="open_sweep"' in page
    assert 'id="run_flow"' in page
    assert (tmp_path / "reference/phasepipe/stages/scaling.html").exists()


def test_the_notebook_is_small_and_shows_what_it_found():
    assert NOTEBOOK.stat().st_size < 1e6
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.outputs for cell in cells)
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert {"image/png", "text/plain"} <= kinds


@pytest.mark.slow
def test_the_notebook_runs_on_the_tiny_sweep(tmp_path, monkeypatch):
    for name in ("Snakefile", "workflow", "config"):
        (tmp_path / name).symlink_to(ROOT / name)
    run("-m", "snakemake", "--cores", "2", "--config", "sweep=tiny", cwd=tmp_path)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    expected = [sorted(output.output_type for output in cell.outputs) for cell in code_cells(notebook)]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    found = [sorted(output.output_type for output in cell.outputs) for cell in code_cells(notebook)]
    assert found == expected
