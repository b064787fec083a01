"""The report agrees with the stores and works in a real browser without a network."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

import phasepipe as pp
from phasepipe.report.page import ReportError, write_report
from phasepipe.store.folder import SweepFolder


@pytest.fixture
def page(reported):
    return reported[1].root / "report.html"


def open_page(browser, page, width=1200, dark=False):
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page.as_uri())


def requests_of(browser):
    """Requested URLs, except data URLs."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith("data:")]


def canvas_ink(browser, plot):
    """Number of pixels of a plot that are not transparent."""
    return browser.execute_script(
        "const c = document.querySelector(arguments[0] + ' canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n;",
        f"#{plot}",
    )


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_no_error_no_request_and_nothing_wider_than_the_window(browser, page, width, dark):
    open_page(browser, page, width, dark)
    assert requests_of(browser) == [page.as_uri()]
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", background)[:3]))
    assert (brightness < 200) == dark
    for plot in ("success-plot", "overlap-plot", "loss-plot", "hessian-plot"):
        assert canvas_ink(browser, plot) > 1000


def test_the_reader_can_choose_budget_starts_and_run(browser, page):
    open_page(browser, page)
    summary = browser.find_element(By.ID, "run-summary")
    texts = {summary.text}
    for name in ("size", "alpha", "run"):
        choice = Select(browser.find_element(By.ID, name))
        other = [option.text for option in choice.options if not option.is_selected()][-1]
        choice.select_by_visible_text(other)
        texts.add(summary.text)
    assert len(texts) == 4
    before = browser.find_element(By.ID, "budget-value").text
    browser.execute_script(
        "const b = document.getElementById('budget'); b.value = 0; b.dispatchEvent(new Event('input'));"
    )
    assert browser.find_element(By.ID, "budget-value").text != before
    Select(browser.find_element(By.ID, "group")).select_by_index(1)
    assert browser.get_log("browser") == []


def test_structure_is_accessible(browser, page):
    open_page(browser, page)
    assert browser.execute_script("return document.documentElement.lang") == "en"
    assert len(browser.find_elements(By.TAG_NAME, "h1")) == 1
    levels = [int(h.tag_name[1]) for h in browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3, h4")]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    images = browser.find_elements(By.TAG_NAME, "img")
    assert images
    for image in images:
        assert len(image.get_attribute("alt")) > 40
        assert browser.execute_script("return arguments[0].naturalWidth", image) > 500
    for control in browser.find_elements(By.CSS_SELECTOR, "select, input"):
        assert control.accessible_name
    for link in browser.find_elements(By.CSS_SELECTOR, "nav a"):
        assert browser.find_elements(By.ID, link.get_attribute("href").partition("#")[2])


def test_the_numbers_are_those_of_the_stores(reported, page):
    sweep, folder = reported
    text = page.read_text()
    tree = pp.open_sweep(folder.root)
    success = tree["success"].ds.isel(budget=-1).load()
    for group in range(2):
        for N in sweep.N:
            for alpha in (1.5, 2.5, 4):
                cell = success.sel(N=N, alpha=alpha).isel(start_group=group)
                assert f"{float(cell['p']):.3f} [{float(cell['lower']):.3f}, " in text
    total = sum(tree[f"runs/N{N}"].ds["outcome"].size for N in sweep.N)
    assert f"{total:,} runs:" in text
    assert f"alpha_init = {float(tree['theory']['alpha_init']):.4f}" in text
    # the letters also occur in scripts and in pictures, by chance
    assert "http" not in re.sub(r'<script.*?</script>|base64,[^"]*', "", text, flags=re.DOTALL).replace(
        "http://www.w3.org", ""
    )
    limit = tree["scaling"].ds["budget_alpha_50"].isel(budget=-1).load()
    known = limit.values[np.isfinite(limit.values)]
    assert known.size
    assert "Extrapolated to unlimited time, alpha_50 is" in text
    assert all(f"{value:.3f} (" in text for value in known)
    numbers = json.loads(re.search(r'id="numbers">(.*?)</script>', text, re.DOTALL)[1])
    for cell in numbers["runs"]:
        runs = tree[f"runs/N{cell['N']}"].ds.sel(alpha=cell["alpha"], method="nearest")
        kinds = runs["start_kind"].values
        for run in cell["runs"]:
            start = np.flatnonzero((kinds == cell["group"]) & (runs["start_number"].values == run["start"]))
            stored = runs["overlap"].sel(instance=run["instance"]).isel(start=int(start[0])).values
            shown = np.array([np.nan if m is None else m for m in run["overlap"]])
            np.testing.assert_allclose(shown, stored, rtol=1e-3)


def test_the_same_results_give_the_same_file(reported, page):
    before = page.read_bytes()
    write_report(*reported)
    assert page.read_bytes() == before


def test_a_missing_result_is_named(reported, tmp_path):
    with pytest.raises(ReportError, match=r"theory\.zarr is missing; run the sweep again with phasepipe run"):
        write_report(reported[0], SweepFolder(tmp_path / "empty"))
