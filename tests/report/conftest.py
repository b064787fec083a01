"""The report of a small computed sweep, and a real browser that displays it."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from phasepipe.report.page import write_report


@pytest.fixture(scope="session")
def reported(finished):
    """Sweep with two kinds of start, and its folder with a report."""
    write_report(*finished)
    return finished


@pytest.fixture
def browser(tmp_path):
    """Headless Chromium that logs its console and all requests; tests are skipped without Chromium."""
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
    window.get_log("performance")  # discard the requests of the first page of the browser
    yield window
    window.quit()
