"""Every notebook is stored with its outputs, and its cells run to outputs of the same kinds."""

import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
ON_A_SWEEP = "first-look.ipynb"  # reads results/tiny, which takes longer than its own cells


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook):
    """Kinds of what each cell shows; lines of text may come in any number of pieces."""
    return [
        {kind for output in cell.outputs for kind in output.get("data", ["text"])}
        for cell in code_cells(notebook)
    ]


def run(notebook, place, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(place)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_shows_what_it_found(path):
    assert path.stat().st_size < 1e6
    notebook = read(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {"image/png", "text/plain"} <= set.union(*kinds(notebook))
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert str(Path.home()) not in path.read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_lead_somewhere(path):
    import re

    for cell in read(path).cells:
        for link in re.findall(r"\]\(([^)#\s]+)", cell.source) if cell.cell_type == "markdown" else ():
            assert link.startswith("http") or (FOLDER / link).exists(), link


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path.name != ON_A_SWEEP], ids=lambda path: path.stem
)
def test_the_cells_of_a_notebook_run(path, monkeypatch):
    notebook = read(path)
    stored = kinds(notebook)
    run(notebook, FOLDER, monkeypatch)
    assert [shown - {"text"} for shown in kinds(notebook)] == [shown - {"text"} for shown in stored]


@pytest.mark.slow
def test_the_notebook_runs_on_the_tiny_sweep(tmp_path, monkeypatch):
    for name in ("Snakefile", "workflow", "config"):
        (tmp_path / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "sweep=tiny"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, check=True, timeout=600)
    notebook = read(FOLDER / ON_A_SWEEP)
    stored = kinds(notebook)
    run(notebook, tmp_path, monkeypatch)
    assert kinds(notebook) == stored


def test_every_notebook_is_named_in_the_index_and_on_the_site():
    index, site = (ROOT / "docs/index.md").read_text(), (ROOT / "docs/site/contents.rst").read_text()
    for path in NOTEBOOKS:
        assert f"(tutorials/{path.name})" in index
        assert f"/docs/tutorials/{path.stem}\n" in site
