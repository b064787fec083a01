"""Runs the workflow with Snakemake on a small sweep, as a user does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import phasepipe as pp

ROOT = Path(__file__).parents[2]
SWEEP = {"starts": [{"kind": "random", "count": 2}], "block_instances": 2}


class Project:
    """A folder with the workflow and its own configuration."""

    def __init__(self, root):
        self.root = root

    @classmethod
    def new(cls, root, content):
        (root / "config").mkdir(parents=True)
        for name in ("Snakefile", "workflow"):
            (root / name).symlink_to(ROOT / name)
        project = cls(root)
        project.configure(content)
        return project

    def copy(self, root):
        shutil.copytree(self.root, root, symlinks=True)
        return Project(root)

    def configure(self, content):
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (self.root / "config/config.yaml").write_text(text)

    def snakemake(self, *arguments):
        """Run snakemake; return its exit code and its output."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout

    @property
    def results(self):
        return self.root / "results/small"

    def chunks(self):
        """Content and modification time of all Zarr chunks of data in the block stores."""
        arrays = ("outcome", "overlap", "recovery_time", "signal", "labels", "digest")
        return {
            file: (file.read_bytes(), file.stat().st_mtime_ns)
            for store in self.results.glob("*/N*.zarr")
            for array in arrays
            for file in (store / array / "c").rglob("*")
            if file.is_file()
        }


@pytest.fixture(scope="module")
def finished(tmp_path_factory, configuration):
    """A project with a computed sweep; tests only change copies of it."""
    project = Project.new(tmp_path_factory.mktemp("workflow") / "finished", configuration(**SWEEP))
    code, output = project.snakemake()
    assert code == 0, output
    return project


@pytest.fixture
def project(finished, tmp_path):
    return finished.copy(tmp_path / "project")


def assert_refused(code, output, *words):
    assert code != 0
    sentences = [line for line in output.splitlines() if line.startswith("phasepipe: ")]
    assert len(sentences) == 1, output
    assert "Traceback" not in output
    assert 'File "' not in output
    for word in words:
        assert word in sentences[0]


def test_a_sweep_gives_stores_a_table_and_figures(finished):
    for name in ("success.png", "success.svg", "success.pdf"):
        assert (finished.results / "figures" / name).stat().st_size > 1000
    for stage in ("descent", "success", "draw_success"):
        assert (finished.results / "logs" / f"{stage}.log").read_text().strip()
        assert (finished.results / "benchmarks" / f"{stage}.tsv").exists()
    assert not list(finished.results.rglob("*.lock"))
    tree = pp.open_sweep(finished.results)
    assert {"/instances/N12", "/runs/N12", "/success"} <= {node.path for node in tree.leaves}
    assert (tree["runs/N12"]["status"] == 1).all()
    table = tree["success"].isel(start_group=0).load()
    assert (table["n"] == 4 * 2).all()
    assert ((table["lower"] >= 0) & (table["lower"] <= table["p"])).all()
    assert ((table["p"] <= table["upper"]) & (table["upper"] <= 1)).all()
    assert (table["p"].diff("budget") >= 0).all()


def test_a_finished_sweep_has_nothing_to_be_done(project):
    before = project.chunks()
    code, output = project.snakemake()
    assert code == 0
    assert "Nothing to be done" in output
    assert project.chunks() == before


def test_growing_computes_only_what_is_new(project, configuration):
    before = project.chunks()
    starts = [{"kind": "random", "count": 3}, {"kind": "warm", "count": 1, "m0": 0.5}]
    grown = SWEEP | {"N": [12, 14], "alpha": [3, 2, 4], "instances": 6, "starts": starts}
    project.configure(configuration(**grown))
    code, output = project.snakemake()
    assert code == 0, output
    after = project.chunks()
    assert {file: after[file] for file in before} == before
    assert len(after) > len(before)
    log = (project.results / "logs/descent.log").read_text()
    assert f"16 of {3 * 6 * 4} stored, {3 * 6 * 4 - 16} to compute" in log
    tree = pp.open_sweep(project.results)
    table = tree["success"].load()
    assert table["alpha"].values.tolist() == [2, 3, 4]
    assert table["N"].values.tolist() == [12, 14]
    assert table["n"].isel(budget=-1).sel(alpha=3, N=14).values.tolist() == [18, 6]
    for N in (12, 14):
        assert (tree[f"runs/N{N}"]["status"] == 1).all()


def test_another_loss_is_refused_and_touches_nothing(project, configuration):
    before = project.chunks()
    project.configure(configuration(**SWEEP, loss={"kind": "quartic"}))
    code, output = project.snakemake()
    assert_refused(code, output, "holds another sweep", "'quartic' now", "another name")
    assert project.chunks() == before


def test_a_locked_store_fails_the_job_with_one_sentence(project, configuration):
    project.configure(configuration(**SWEEP | {"instances": 5}))
    owner = '{"pid": 1, "host": "elsewhere", "since": "2026-01-02", "process_start": "1"}'
    (project.results / "instances/N12.lock").write_text(owner)
    code, output = project.snakemake()
    assert code != 0
    assert "Traceback" not in output
    sentence = "is being written by process 1 on elsewhere since 2026-01-02"
    assert output.count(sentence) == 1
    assert sentence in (project.results / "logs/descent.log").read_text()


def test_instances_can_be_drawn_without_running_anything(finished, tmp_path, configuration):
    project = Project.new(tmp_path / "fresh", configuration(**SWEEP))
    code, output = project.snakemake("results/small/instances/N12.done")
    assert code == 0, output
    assert "run_descent" not in output
    drawn, found = (pp.open_sweep(one.results)["instances/N12"].load() for one in (project, finished))
    for name in ("signal", "labels", "digest", "status"):
        np.testing.assert_array_equal(drawn[name], found[name])


def test_a_dry_run_and_the_linter_touch_nothing(tmp_path, configuration):
    project = Project.new(tmp_path / "fresh", configuration(**SWEEP))
    code, output = project.snakemake("--dry-run")
    assert code == 0, output
    assert "run_descent" in output
    code, output = project.snakemake("--lint")
    assert code == 0, output
    assert not (project.root / "results").exists()


def test_mistakes_are_one_sentence_before_any_job(tmp_path, configuration):
    project = Project.new(tmp_path / "fresh", configuration(**SWEEP, t_maxx=3))
    assert_refused(*project.snakemake(), "unknown key 't_maxx'; did you mean 't_max'?")
    project.configure(configuration(**SWEEP))
    (project.root / "results").write_text("a file where the folder should be")
    assert_refused(*project.snakemake(), "results/small cannot be written", "key results")
    slurm = {"kind": "slurm", "jobs": 2, "partition": "main"}
    for changes, words in {
        "cluster": ({"cluster": slurm}, "unknown key 'cluster.partition'"),
        "loss": ({"loss": {"kind": "custom", "path": "nowhere_at_all.Loss"}}, "does not import"),
        "alpha": ({"alpha": [0.01]}, "alpha = 0.01"),
    }.values():
        project.configure(configuration(**SWEEP | changes))
        assert_refused(*project.snakemake(), words)
    project.configure("sweep: [")
    code, output = project.snakemake()
    assert code != 0
    assert "not valid JSON or YAML" in output
    assert "Traceback" not in output
