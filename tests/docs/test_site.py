"""The documentation site builds without a warning, has every page, and loads nothing from a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-c", "docs/site"]
    done = subprocess.run(
        [*command, "-d", str(place / "doctrees"), ".", str(place / "html")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
        env=os.environ | {"MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "html"


def pages(site):
    return sorted(site.rglob("*.html"))


def test_every_page_and_notebook_is_on_the_site(site):
    sources = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
    assert sources
    for source in sources:
        assert (site / source.relative_to(ROOT).with_suffix(".html")).exists(), source
    assert "url=docs/index.html" in (site / "index.html").read_text()
    assert "run_flow" in (site / "searchindex.js").read_text()


def test_the_reference_has_every_module_and_public_name(site):
    modules = [
        path for path in (ROOT / "phasepipe").rglob("*.py") if path.stem not in ("__main__", "torch_arrays")
    ]
    for path in modules:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        text = (site / "docs/site/modules").joinpath(f"{name}.html")
        parent = site / "docs/site/modules" / f"{name.rpartition('.')[0]}.html"
        assert text.exists() or f'id="module-{name}"' in parent.read_text(), name
    plots = (site / "docs/site/modules/phasepipe.results.plots.html").read_text()
    assert 'id="phasepipe.results.plots.SweepPlots.success"' in plots
    assert ":func:" not in plots


def test_nothing_is_loaded_from_a_network(site):
    loads = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc=["'](?:https?:)?//[^"']*""")
    styles = re.compile(
        r"""<link[^>]*rel=["'](?:stylesheet|preload|preconnect)["'][^>]*href=["'](?:https?:)?//"""
    )
    for page in pages(site):
        text = page.read_text()
        assert not loads.findall(text), page
        assert not styles.findall(text), page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text(errors="replace")), (
            sheet
        )


def test_notebooks_show_their_figures(site):
    for path in (ROOT / "docs/tutorials").glob("*.ipynb"):
        text = (site / path.relative_to(ROOT).with_suffix(".html")).read_text()
        images = re.findall(r'<img[^>]*src="([^"]+)"', text)
        assert images, path
        for image in images:
            assert (site / path.relative_to(ROOT).parent / image).exists(), image
