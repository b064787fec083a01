"""The report of a small sweep that has really run, and a real browser to look at it."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from phasepipe.report.page import write_report


@pytest.fixture(scope="session")
def reported(finished):
    """Sweep and folder with two groups of starts and a report."""
    write_report(*finished)
    return finished


@pytest.fixture
def browser(tmp_path):
    """Headless Chromium that keeps a log of its console and of every request; skipped where there is none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip(
            "chromium and chromedriver are not installed (Debian: apt install chromium chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    switches = (
        "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        "disable-component-update disable-sync disable-dev-shm-usage"
    )
    for switch in (*switches.split(), f"user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = webdriver.Chrome(options, Service(driver))
    window.get("about:blank")
    window.get_log("performance")  # what the browser's own first page asked for is not the report's
    yield window
    window.quit()
