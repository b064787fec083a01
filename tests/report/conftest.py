"""The report of a small sweep that has really run, and a real browser to look at it."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from phasepipe.pipeline.configuration import load_sweep
from phasepipe.pipeline.folders import SweepFolder
from phasepipe.report.page import write_report
from phasepipe.stages.descent import run_descent
from phasepipe.stages.fate import relate_fates
from phasepipe.stages.figures import draw_success
from phasepipe.stages.instances import draw_instances
from phasepipe.stages.scaling import study_scaling
from phasepipe.stages.success import estimate_success
from phasepipe.stages.theory import predict_thresholds


@pytest.fixture(scope="session")
def reported(tmp_path_factory, configuration):
    """Sweep and folder with two groups of starts and a report."""
    starts = [{"kind": "random", "count": 4}, {"kind": "warm", "count": 2, "m0": 0.5}]
    sweep = load_sweep(configuration(N=[12, 16], alpha=[1.5, 2.5, 4], instances=6, starts=starts))
    folder = SweepFolder(tmp_path_factory.mktemp("report") / "small")
    for stage in (draw_instances, run_descent):
        for N in sweep.N:
            stage(sweep, N, folder, 2)
    for whole in (
        predict_thresholds,
        estimate_success,
        draw_success,
        study_scaling,
        relate_fates,
        write_report,
    ):
        whole(sweep, folder)
    return sweep, folder


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
