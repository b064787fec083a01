"""Pages with code run from top to bottom, and no link inside the documentation is broken."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def run_page(name):
    names: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL):
        exec(compile(block, name, "exec"), names)
    return names


def test_the_tutorial_runs():
    names = run_page("tutorials/tutorial.md")
    assert names["runs"].sizes["start"] == 16
    assert (names["largest_overlap"].values[names["recovered"].values] > 0.3).all()
    assert (names["lowest"] < 0).all()
    assert names["alpha_init"] == pytest.approx(2.8508, abs=1e-3)
    assert names["alpha_threshold"] == pytest.approx(4.4361, abs=1e-3)


def test_the_page_on_own_starts_runs():
    names = run_page("how-to/own-start.md")
    np.testing.assert_allclose((names["w0"] ** 2).sum(axis=1), 64)
    assert (names["runs"]["outcome"] > 0).all()


def test_the_page_on_redrawing_runs_on_the_numbers_of_a_sweep(finished, tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/demo").symlink_to(finished[1].root)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = run_page("how-to/redraw-a-figure.md")
    assert (tmp_path / "my-success.png").stat().st_size > 10_000
    assert len(names["axes"].containers) == 2  # one curve per N
    named = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", (DOCS / "how-to/redraw-a-figure.md").read_text()))
    drawn = {path.stem for path in (finished[1].root / "figures").glob("*.csv")}
    assert {name.removesuffix("-1") for name in drawn} <= named


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text().replace("\n", " ")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_every_page_is_named_in_the_index():
    index = (DOCS / "index.md").read_text()
    assert all(page.name in index for page in DOCS.glob("*.md") if page.name != "index.md")


def test_citation_names_the_version():
    import phasepipe

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == phasepipe.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
