"""Pages with code run from top to bottom, links lead somewhere, and lines of prose stay short."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
OTHERS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + [
    ROOT / folder / "README.md" for folder in ("config", "benchmarks")
]
LONGEST = 120

# code is run by the test named here; the rest of the package runs none
RUN_BY = {
    "tutorials/tutorial.md": "test_the_tutorial_runs",
    "tutorials/session.md": "tests/docs/test_session.py",
    "how-to/own-loss.md": "tests/docs/test_own_loss.py",
    "how-to/own-start.md": "test_the_page_on_own_starts_runs",
    "how-to/import-the-workflow.md": "tests/workflow/test_module.py",
    "how-to/redraw-a-figure.md": "test_the_page_on_redrawing_runs_on_the_numbers_of_a_sweep",
}


def ids(pages):
    return [path.relative_to(ROOT).as_posix() for path in pages]


def code(text, language):
    """Code blocks of a language, also those inside a list."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def run_page(name):
    names: dict = {"__name__": "page"}
    for block in code((DOCS / name).read_text(), "python"):
        exec(compile(block, name, "exec"), names)
    return names


def test_the_tutorial_runs():
    names = run_page("tutorials/tutorial.md")
    assert names["runs"].sizes["start"] == 16
    assert (names["largest_overlap"].values[names["recovered"].values] > 0.3).all()
    assert (names["lowest"] < 0).all()
    assert names["alpha_init"] == pytest.approx(2.8508, abs=1e-3)
    assert names["alpha_threshold"] == pytest.approx(4.4361, abs=1e-3)
    assert float(names["found"]["t_bbp"]) == pytest.approx(0.914, abs=0.1)
    assert names["growth"].values == pytest.approx([1.62, 1.81], abs=0.1)
    assert names["success"].value == pytest.approx(0.2, abs=0.15)


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


def test_every_tutorial_and_how_to_page_with_python_is_run():
    pages = [*DOCS.glob("tutorials/*.md"), *DOCS.glob("how-to/*.md")]
    with_python = {page.relative_to(DOCS).as_posix() for page in pages if code(page.read_text(), "python")}
    assert with_python == set(RUN_BY)
    for test in RUN_BY.values():
        assert (ROOT / test).exists() or test in globals()


@pytest.mark.parametrize("page", [page for page in PAGES + OTHERS if code(page.read_text(), "yaml")], ids=str)
def test_yaml_of_a_page_is_yaml(page):
    for block in code(page.read_text(), "yaml"):
        assert isinstance(yaml.safe_load(block), dict)


def anchors(page):
    """Anchors of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", title).lower()) for title in titles]
    return {title.replace(" ", "-") for title in kept}


@pytest.mark.parametrize("page", PAGES + OTHERS, ids=ids(PAGES + OTHERS))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text().replace("\n", " ")):
        if link.startswith("http"):
            continue
        target, _, anchor = link.partition("#")
        place = page.parent / target if target else page
        assert place.exists(), link
        assert not anchor or anchor in anchors(place), link


def prose(text):
    """Lines of prose: no code, no tables, nothing between markers, and links without their targets."""
    text = re.sub(r"<!-- (?!end of)[^>]*-->.*?<!-- end of [^>]*-->", "", text, flags=re.DOTALL)
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\]\([^)\s]*\)", "]", text)
    return [line for line in text.splitlines() if not line.startswith(("|", "!["))]


@pytest.mark.parametrize("page", PAGES + OTHERS, ids=ids(PAGES + OTHERS))
def test_lines_of_prose_are_short(page):
    long = [line for line in prose(page.read_text()) if len(line) > LONGEST]
    assert not long, long[0]


def test_prose_knows_what_is_exempt():
    long = "word " * 40
    exempt = (
        f"| {long} |\n```\n{long}\n```\n<!-- claim 1 -->\n{long}\n<!-- end of claim 1 -->\n[a](b{'c' * 200})"
    )
    assert max(map(len, prose(exempt))) <= LONGEST
    assert max(map(len, prose(f"{exempt}\n{long}"))) > LONGEST


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "index.md"], ids=lambda page: page.stem
)
def test_every_page_is_named_in_the_index(page):
    assert f"({page.relative_to(DOCS).as_posix()})" in (DOCS / "index.md").read_text()


def test_citation_names_the_version():
    import phasepipe

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == phasepipe.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
