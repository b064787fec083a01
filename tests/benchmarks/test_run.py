"""The benchmarks run, and their tables are whole; how fast anything is, no test says."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import Samples, interleave

ROOT = Path(__file__).parents[2]


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.run", "--quick", "--to", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def check(folder, names):
    results = json.loads((folder / "results.json").read_text())
    assert list(results["sections"]) == names
    text = (folder / "results.md").read_text()
    for content in results["sections"].values():
        assert f"## {content['title']}" in text
        for table in content["tables"]:
            assert table["note"]
            assert table["note"] in text
            assert table["rows"]
            assert len({tuple(row) for row in table["rows"]}) == 1  # all rows have the same columns
            for value in (value for row in table["rows"] for value in row.values()):
                assert not isinstance(value, float) or np.isfinite(value)
    assert results["machine"]["BLAS threads"] == "1"
    assert results["machine"]["SGEMM peak, GFlop/s"] > 0
    return results["sections"]


def test_sections_in_one_process_are_whole_and_later_ones_join_them(tmp_path):
    done = run(tmp_path, "--only", "flow,peers,baselines,spectrum,fates")
    assert done.returncode == 0, done.stderr
    done = run(tmp_path, "--only", "gradient,regeneration,store,scheduler")
    assert done.returncode == 0, done.stderr
    names = [
        "gradient",
        "flow",
        "peers",
        "baselines",
        "spectrum",
        "fates",
        "regeneration",
        "store",
        "scheduler",
    ]
    sections = check(tmp_path, names)
    spectrum = sections["spectrum"]["tables"][0]["rows"][0]
    assert spectrum["difference of the lowest eigenvalue"] < 1e-8
    fates = sections["fates"]["tables"][0]["rows"][0]
    assert fates["times fewer"] > 1


@pytest.mark.slow
def test_sections_with_workers_are_whole(tmp_path):
    done = run(tmp_path, "--only", "workers,pipeline")
    assert done.returncode == 0, done.stderr
    check(tmp_path, ["workers", "pipeline"])


def test_a_section_that_needs_a_gpu_is_left_out_without_one(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run(tmp_path, "--only", "gpu")
    assert done.returncode == 0, done.stderr
    assert "gpu: nothing to measure on this machine" in done.stderr
    assert not (tmp_path / "results.json").exists()


def test_an_unknown_section_is_refused(tmp_path):
    done = run(tmp_path, "--only", "flow,nothing")
    assert done.returncode == 2
    assert "no section 'nothing'; take of gradient, flow" in done.stderr
    assert not (tmp_path / "results.json").exists()


def test_a_ratio_is_paired_by_turn():
    slow = Samples(np.array([2.0, 20.0, 200.0]), np.ones(3))
    fast = Samples(np.array([1.0, 10.0, 100.0]), np.ones(3))
    ratio = slow.over(fast)
    assert (ratio.low, ratio.median, ratio.high) == (2, 2, 2)
    assert ratio.scaled(3).median == 6


def test_contestants_take_turns():
    order = []
    contestants = {name: lambda name=name: order.append(name) for name in "ab"}
    found = interleave(contestants, rounds=2, warm_up=False)
    assert order == ["a", "b", "b", "a"]
    assert found["a"].wall.shape == (2,)
